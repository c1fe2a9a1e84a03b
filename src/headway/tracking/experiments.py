"""A project's experiments in MLflow: one for its retrainings, one for its studies, one for its watches.

Each has a description and a view: the list of runs with chosen columns, filter and order. MLflow's page keeps named views as tags of the
experiment, and a link names one by `viewStateShareKey` (mlflow PR 24359). A view that people have saved again in the page is theirs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.tracking.addresses import TRAINING, is_local, tracking_uri
from headway.tracking.store import needing, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

VIEW = "headway"
"""The key of our view in links."""
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
NOTE_TAG = "mlflow.note.content"
LIST = f"{TRAINING}&viewStateShareKey={VIEW}"
"""In a link to a list of runs."""


@dataclass(frozen=True)
class _Kind:
    """One of a project's experiments: the end of its name, its view, and what it holds."""

    suffix: str
    title: str
    columns: Sequence[str]
    query: str
    text: str


_RETRAININGS = _Kind(
    "",
    "Retrainings",
    ("tags.`decision`", "tags.`champion`", "METRIC", "tags.`rows`", "duration"),
    "tags.kind = 'retrain'",  # experiments of earlier versions hold studies and watches, too
    "One run is one retraining of `{name}`. `decision` says whether the gate promoted the model, `champion` whether its version is the "
    "champion. The first metric, the one without a prefix, decides. `headway run {name}` starts a retraining, and so does *retrain {name}* "
    "in Prefect. Studies and watches have experiments of their own.",
)
_STUDIES = _Kind(
    " studies",
    "Studies",
    ("tags.`verdict`", "metrics.`effect/time_to_target`", "metrics.`effect/step_time`", "duration"),
    "",
    "Studies of what each efficiency technique gains on `{name}`: one run is one study, and the runs below it are its techniques. Times "
    "are shares of the baseline's time: 0.5 is half of it. `headway effect {name}` starts a study; `headway seeds` is listed here, too.",
)
_WATCHES = _Kind(
    " watches",
    "Watches",
    ("tags.`drift`", "metrics.`watch/columns`", "metrics.`watch/psi`", "duration"),
    "",
    "The newest rows of `{name}`, compared with those that its champion was trained on: one run is one watch. `watch/columns` counts the "
    "columns that drifted, `watch/psi` is the largest PSI. `headway watch {name}` starts a watch.",
)
_KINDS = {"retrain": _RETRAININGS, "effect": _STUDIES, "seeds": _STUDIES, "watch": _WATCHES}


def kind_of(plan: Mapping[str, Any]) -> str:
    """The kind of a run, by its run.json: retrain, effect, seeds or watch."""
    keys = {"effect": "effect", "watch": "watch", "variants": "seeds"}
    return next((kind for key, kind in keys.items() if key in plan), "retrain")


def name_of(project: str, kind: str = "retrain") -> str:
    """The name of the experiment that holds a project's runs of a kind. A project's own name has no space."""
    return project + _KINDS[kind].suffix


def names_of(project: str) -> list[str]:
    """The names of all experiments that a project may have."""
    return list(dict.fromkeys(name_of(project, kind) for kind in _KINDS))


def project_of(experiment: str) -> str:
    """The project whose runs an experiment holds."""
    return experiment.removesuffix(_about(experiment).suffix)


def _about(experiment: str) -> _Kind:
    """By the experiment's name and not by a run's kind: experiments of earlier versions hold all kinds."""
    return next((one for one in (_STUDIES, _WATCHES) if experiment.endswith(one.suffix)), _RETRAININGS)


def experiment_of(client: MlflowClient, root: Path, project: str, kind: str = "retrain") -> str:
    """The id of an experiment, created with an artifact folder that direct access and the server share."""
    from mlflow.exceptions import MlflowException

    name = name_of(project, kind)
    experiment: Any = client.get_experiment_by_name(name)
    if experiment is None:
        local = is_local(tracking_uri(root))
        location = str(root.resolve() / "mlruns" / "artifacts" / project) if local else None
        try:
            return client.create_experiment(name, artifact_location=location)
        except MlflowException:  # another process was faster
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)


def describe(client: MlflowClient, experiment: str, project: Mapping[str, Any], metric: str | None = None) -> None:
    """Give an experiment its description and its view, where it has none or an outdated one of ours.

    ``project``: as in run.json. ``metric``: the one that decides; where it is not known yet, the view keeps the one that it has.
    """
    existing = client.get_experiment(experiment)
    tags, about = existing.tags, _about(existing.name)
    if not tags.get(NOTE_TAG):
        texts = (project.get("description", ""), about.text.format(name=project["name"]))
        link = f"[The list with its columns](#{_list(experiment)})"
        client.set_experiment_tag(experiment, NOTE_TAG, "\n\n".join(text for text in (*texts, link) if text))
    view = _View.of(tags.get(VIEW_TAG))
    if view is not None and (view.is_theirs or (metric is None and about is _RETRAININGS)):
        return
    state = _state(about, metric)
    if view is None or view.state != state:
        client.set_experiment_tag(experiment, VIEW_TAG, _View.new(about.title, state).text())


def experiments_for(root: Path, projects: Mapping[str, str]) -> dict[str, str]:
    """The ids of projects' experiments, which are created and described where they are missing. ``projects``: descriptions by name.

    Raises ConfigError where MLflow does not answer.
    """
    client = open_store(root)
    with needing(tracking_uri(root)):
        ids = {name: experiment_of(client, root, name) for name in projects}
        for name, experiment in ids.items():
            describe(client, experiment, {"name": name, "description": projects[name]})
    return ids


def list_page(server: str, experiment: str) -> str:
    """The address of an experiment's list of runs, in our view."""
    return f"{server.rstrip('/')}/#{_list(experiment)}"


def _list(experiment: str) -> str:
    return f"/experiments/{experiment}/runs?{LIST}"


def _state(kind: _Kind, metric: str | None) -> str:
    """What the page restores: MLflow's search facets and the columns, as the page's own JSON has them."""
    columns = [f"metrics.`{metric}`" if one == "METRIC" else one for one in kind.columns if metric or one != "METRIC"]
    return json.dumps(
        {
            "searchFilter": kind.query,
            "orderByKey": "attributes.start_time",
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": [one for one in columns if one != "duration"],
            "columnOrder": columns,
            "columnWidths": {one: 110 if one.startswith("tags.") else 90 for one in columns},
        }
    )


@dataclass(frozen=True)
class _View:
    """A named view as MLflow's page keeps it. ``created`` and ``updated``: milliseconds since the epoch."""

    name: str
    created: float
    updated: float
    state: str

    @classmethod
    def new(cls, name: str, state: str) -> _View:
        now = int(time.time() * 1000)
        return cls(name, now, now, state)

    @classmethod
    def of(cls, tag: str | None) -> _View | None:
        """From the experiment's tag; None where there is none, or none that the page would read."""
        try:
            values = json.loads(tag or "")
            return cls(values["name"], values["createdAt"], values["updatedAt"], values["state"])
        except (ValueError, KeyError, TypeError):
            return None

    @property
    def is_theirs(self) -> bool:
        """Whether people have saved it again in MLflow's page."""
        return self.updated != self.created

    def text(self) -> str:
        """The tag."""
        return json.dumps(
            {"name": self.name, "createdAt": self.created, "updatedAt": self.updated, "state": self.state}
        )
