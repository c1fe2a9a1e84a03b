"""The keys of the JSON object that each command prints with --json, each with one sentence; its help shows them."""

from __future__ import annotations

from collections.abc import Mapping

ERROR = {
    "error": "what is wrong, as on standard error",
    "exit": "the exit code",
}
"""The object of a command that ends with an error, whichever command it is."""

_PROJECT = {"project": "the project's name"}
_FOLDER = {"run_directory": "the run's folder"}
_PAGES = {
    "prefect": "the address of the run's page in Prefect",
    "mlflow": "the address of the run's page in MLflow",
    "served": "whether these pages are served now; if not: headway up",
}
_MODEL = {"model": "the registered model's name", "version": "the version that predicts"}
_REFUSED = "input, output, refused_file and the counts of each file"

_RUN = {
    **_PROJECT,
    "run_id": "the run's id in MLflow",
    **_FOLDER,
    **_PAGES,
    "stages": "seconds of each stage",
    "metrics": "value of each metric, and low and high of its 95 % interval",
    "baselines": "the same for each baseline",
    "undefined": "metrics without a value, and why",
    "reference": "the best that any model can reach, where that is known",
    "importance": "how much worse the deciding metric is without each column",
    "earns_its_keep": "the verdict on the model against its best baseline",
    "decision": "promoted, true or false, and the reason",
    "model": "name and version in the registry",
    "train": "figures of the training: epochs, rows_per_second and others",
    "up_to_date": "true where nothing was retrained, because nothing changed",
    "version": "where nothing was retrained: the version that is up to date",
}

KEYS: Mapping[str, Mapping[str, str]] = {
    "demo": {
        "folder": "the demo's folder",
        "seconds": "how long the demo took",
        "pages": "what to look at, and the address of each page",
    },
    "init": {
        **_PROJECT,
        "path": "the YAML that was written",
        "decisions": "one sentence for each decision of the draft",
    },
    "check": {
        **_PROJECT,
        "passed": "whether no expectation failed",
        "summary": "the result in one sentence",
        "failures": "one sentence for each expectation that failed and stops a run",
        "warnings": "one sentence for each other finding",
        "expectations": "each expectation with its result",
        "digest": "a hash of the data's content",
        "rows": "rows of the table, or documents",
        "files": "the files that were read",
        "periods": "first and last moment of each part, for a split by dates",
        "bytes": "bytes of the documents",
    },
    "run": _RUN,
    "resume": _RUN,
    "list": {"projects": "project, task, data, champion, metric and last run of each"},
    "show": {
        **_PROJECT,
        "champion": "the champion's version, or null",
        "versions": "all versions, the newest first",
        "decisions": "all decisions about versions, the newest first",
        "runs": "the runs, the newest first",
    },
    "report": {**_PROJECT, "run": "the run's name", "report": "the page"},
    "seeds": {
        **_PROJECT,
        **_FOLDER,
        **_PAGES,
        "rows": "one for each training: seed, settings, metrics",
        "summary": "mean, deviation, low and high of each metric",
        "undefined": "metrics without a value, and why",
        "seconds": "seconds of training",
    },
    "effect": {
        **_PROJECT,
        **_FOLDER,
        **_PAGES,
        "summary": "the result in sentences",
        "techniques": "each technique: verdict, ratios with intervals, reason",
        "open": "techniques that are not settled, and the time that they need",
        "recommended": "the recommended recipe: names, fields, confirmed gain",
        "stack": "all techniques that help, together",
        "without": "the stack without one of them",
        "with": "the stack with one more",
        "baseline": "the recipe that all are compared with",
        "baseline_seeds": "trainings of the baseline",
        "baseline_quality": "the quality that each of them reached",
        "breakdown": "seconds of the parts of a baseline's step",
        "setting": "model, task, device and rows of the study",
        "seeds": "trainings for each quality",
        "epochs": "epochs of a training",
        "target": "the quality to train to",
        "margin": "how much worse counts as equal quality",
        "margin_limits": "low and high of the margin's interval",
        "noise": "how much the times of single steps vary",
        "contention": "how busy the machine was",
        "curves": "quality over time",
        "spent": "seconds of measuring",
    },
    "watch": {
        **_PROJECT,
        **_FOLDER,
        "drifted": "true or false; null where there is no new file to compare",
        "summary": "the result in one sentence",
        "champion": "the champion's version",
        "files": "the files that were compared",
        "why": "why these files were compared",
        "rows": "rows that were compared",
        "units": "what the rows belong to, and how many there are",
        "digest": "a hash of the files, the champion and the limits",
        "columns": "each column: drifted, PSI, Jensen-Shannon distance, nulls",
        "expectations": "the expectations on nulls and new categories, with results",
        "broken": "one sentence for each expectation that failed",
        "limits": "the limits of the YAML's watch section",
    },
    "sample": {**_PROJECT, "prompt": "the prompt", "text": "its continuation"},
    "score": {
        **_PROJECT,
        **_MODEL,
        "run_id": "the version's run in MLflow",
        "rows": "rows that were read",
        "scored": "rows with a prediction",
        "refused": "rows that cannot be predicted",
        "interval": "level of the intervals, and the validation rows behind them",
        "seconds": "seconds of the whole command",
        "rows_per_second": "rows a second while predicting; null if nothing was left",
        "files": _REFUSED,
        "out": "the folder",
    },
    "explain": {
        **_PROJECT,
        **_MODEL,
        "rows": "without --out: answer, base, reasons and others of each row",
        "refusals": "why some of the first rows have no reasons",
        "files": _REFUSED,
        "out": "the folder, empty without --out",
        "is_whole": "whether all rows are shown",
    },
    "serve": {**_PROJECT, "version": "the version that predicts", "address": "where to send rows", "log": "its log"},
    "rollback": {
        **_PROJECT,
        "version": "the champion now",
        "before": "the champion before",
        "reason": "the reason that was given",
        "again": "whether the version had been champion before",
        "since": "seconds since 1970 of an earlier rollback, if it still holds",
    },
    "sync": {"run": "the run's name", "run_id": "the run's id in MLflow"},
    "up": {
        "prefect": "the address of Prefect's pages",
        "mlflow": "the address of MLflow's pages",
        "projects": "the projects that are served",
        "problems": "why other YAMLs in conf/ are left out",
        "logs": "the folder of the logs",
    },
    "deploy": {
        "path": "the file that was written",
        "deployments": "how many it has",
        "problems": "why YAMLs in conf/ are left out",
    },
    "status": {
        "root": "the project's folder",
        "up": "process, addresses and answers of headway up, or null",
        "temporary_server": "the address of the runs' temporary Prefect server, or null",
        "database": "kind, addresses and problem of the databases",
        "versions": "versions of headway, prefect and mlflow",
        "runs": "the newest runs with their state",
        "disk": "bytes used by each folder, and free bytes",
    },
    "down": {"stopped": "the processes that were stopped"},
    "backup": {
        "file": "the backup",
        "bytes": "its size",
        "what": "its content in words",
        "rows": "rows of the databases",
    },
    "restore": {
        "root": "the project's folder",
        "what": "its content in words",
        "made": "when the backup was made, in seconds since 1970",
    },
    "doctor": {
        "mended": "findings that were repaired: where, what, fix, line",
        "left": "findings that are left; the exit code is 5 while there are some",
    },
    "gc": {
        "applied": "whether they were removed",
        "items": "what, project, path and bytes of each",
        "bytes": "bytes of all of them",
    },
}


def described(command: str) -> str:
    """The keys of a command for its help."""
    keys = KEYS[command]
    width = max(map(len, keys))
    lines = [f"  {name:{width}}  {sentence}" for name, sentence in keys.items()]
    return "\n".join(["--json prints one object with these keys; after an error: error, exit", *lines])
