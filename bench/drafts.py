"""Rows of the YAML that a person must edit after `headway init`: `make bench NAME=drafts`. About a minute.

Each table of `bench/drafts.yaml` is drafted with no other option than the names of its columns where the file has none, and compared with
what a person who knows the table would write. One row to edit is a column in a wrong role or of a wrong type, a wrong task, positive
class, split or metric, a value that is read wrongly, and a table that is refused, or drafted, and should not be.

The files lie in the folder that `HEADWAY_DATASETS` names, and the cases beside it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.side_by_side import Ratio, tell
from headway.config import yaml_value
from headway.data.opening import open_table
from headway.draft.drafting import draft
from headway.draft.layout import Choices
from headway.errors import ConfigError, DataError
from headway.project import Project, load_project

ANSWERS = Path(__file__).with_suffix(".yaml")
SHARED = Path(os.environ.get("HEADWAY_DATASETS", "/nowhere")).parent

SETTINGS = ("data", "target", "header", "task", "positive", "split", "metric", "first", "refused")


@dataclass(frozen=True)
class Answer:
    """What is right of one table. ``roles``: of its columns; ``first``: values of the first row; ``refused``: words of the refusal."""

    data: str
    target: str
    header: str | None = None
    task: str = "classification"
    positive: str | None = None
    split: str | None = None
    metric: str | None = None
    first: Mapping[str, float] = field(default_factory=dict)
    refused: str | None = None
    roles: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Answer:
        """From its mapping in the file."""
        roles = {name: role for role, names in values.items() if role not in SETTINGS for name in names}
        return cls(**{name: value for name, value in values.items() if name in SETTINGS}, roles=roles)


def main() -> None:
    """Draft every table, and keep how many rows are to be edited."""
    counts: dict[str, int] = {}
    for answer in answers():
        rows = list(to_edit(answer))
        room = answer.data.split("/", maxsplit=1)[0]
        counts[room] = counts.get(room, 0) + len(rows)
        print(f"{len(rows):3}  {answer.data}  {'; '.join(rows)}")
    labels = {f"rows to edit in the drafts of ../shared/{room}": float(count) for room, count in counts.items()}
    tell("drafts", {label: Ratio(count, count, count, goal=0.0) for label, count in labels.items()})


def answers() -> list[Answer]:
    """Those of the file."""
    return [Answer.of(values) for values in yaml_value(ANSWERS.read_text("utf-8"))]


def to_edit(answer: Answer) -> Iterator[str]:
    """What a person must edit in the draft, a line each."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "conf").mkdir()
        try:
            draft(str(SHARED / answer.data), answer.target, "t", root, Choices(header=answer.header))
        except (ConfigError, DataError) as error:
            if answer.refused is None or answer.refused not in str(error):
                yield f"refused: {error}"
            return
        if answer.refused is not None:
            yield f"drafted, but must be refused: {answer.refused}"
            return
        project = load_project("t", root)
        yield from wrong_settings(project, answer)
        yield from wrong_roles(project, answer)
        yield from wrong_values(project, answer, root)


def wrong_settings(project: Project, answer: Answer) -> Iterator[str]:
    """Of the task, the positive class, the split and the metric."""
    by = answer.split or ("stratified" if answer.task == "classification" else "random")
    answers = {"task": answer.task, "positive": answer.positive, "split": by}
    actual = {"task": project.task, "positive": project.data.positive, "split": project.split.by}
    if answer.metric is not None:
        answers["metric"], actual["metric"] = answer.metric, project.gate.metric
    for name, value in actual.items():
        if value != answers[name] and (name != "positive" or answer.positive is not None):
            yield f"{name} is {value}, not {answers[name]}"


def wrong_roles(project: Project, answer: Answer) -> Iterator[str]:
    """Of the columns."""
    data = project.data
    roles: dict[str, str] = {**data.features, **dict.fromkeys(data.keys, "key"), **dict.fromkeys(data.ignore, "ignore")}
    if data.weight is not None:
        roles[data.weight] = "weight"
    for name, right in answer.roles.items():
        if roles.get(name) not in right.split("|"):
            yield f"{name} is {roles.get(name, 'nothing')}, not {right}"


def wrong_values(project: Project, answer: Answer, root: Path) -> Iterator[str]:
    """Of the first row."""
    if not answer.first:
        return
    first = next(iter(open_table(project.data, project.task, root).chunks())).batch
    for name, right in answer.first.items():
        value = first.column(name)[0].as_py()
        if value != right:
            yield f"{name} is read as {value}, not {right}"


if __name__ == "__main__":
    main()
