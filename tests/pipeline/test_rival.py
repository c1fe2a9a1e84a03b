"""Whom a candidate is compared with: the champion, the one before it, or nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headway import tracking
from headway.evaluate.result import ChampionResult, Evaluation
from headway.files.atomic import write_json
from headway.pipeline.rival import Attempt, attempted, compared, is_barred, look, meet, note_of, without_champion
from headway.run.directory import RunDirectory
from headway.serve.outcome import Outcome
from headway.tracking import Holder

PROJECT = {"name": "loans", "task": "classification", "data": {"target": "default"}}
WHOLE = Attempt(Path("1.npy"))
DAMAGED = Attempt(problem="its weights are cut", damaged=True)
OTHER = Attempt(problem="the column age must be there, but is not")


@pytest.mark.parametrize(
    ("own", "before", "version", "problem"),
    [
        (WHOLE, WHOLE, "3", None),
        (DAMAGED, WHOLE, "2", "its weights are cut"),
        (DAMAGED, DAMAGED, None, "its weights are cut"),
        (DAMAGED, OTHER, None, "its weights are cut"),
        (DAMAGED, None, None, "its weights are cut"),
        (OTHER, WHOLE, None, "the column age must be there, but is not"),
    ],
)
def test_the_version_before_is_compared_with_only_where_the_one_in_charge_is_damaged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: Attempt,
    before: Attempt | None,
    version: str | None,
    problem: str | None,
) -> None:
    earlier = [] if before is None else [Holder("2", tmp_path), Holder("1", tmp_path)]
    monkeypatch.setattr(tracking, "earlier", lambda *_: iter(earlier))
    attempts = {"3": own, "2": before, "1": OTHER}
    rival = meet(tmp_path, "loans", Holder("3", tmp_path), lambda holder: attempts[holder.version] or WHOLE)
    assert (rival.in_charge, rival.version, rival.problem) == ("3", version, problem)
    assert bool(rival.warning) == (problem is not None)
    evaluation = without_champion(Evaluation(), rival)
    if version:
        evaluation = replace(evaluation, champion=ChampionResult(version, why="9 rows are left out"))
    plain, asking = (
        RunDirectory.create(tmp_path, "loans", {"project": PROJECT, **more})
        for more in ({}, {"replace_champion": True})
    )
    assert is_barred(plain, evaluation) == (version is None)
    assert not is_barred(asking, evaluation)
    assert (problem or "") in note_of(evaluation)
    if version:
        assert note_of(evaluation).startswith("9 rows are left out")


def test_of_several_damaged_versions_the_newest_whole_one_is_compared_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "earlier", lambda *_: (Holder(number, tmp_path) for number in "4321"))
    attempts = {"5": DAMAGED, "4": DAMAGED, "3": DAMAGED, "2": WHOLE}
    rival = meet(tmp_path, "loans", Holder("5", tmp_path), lambda holder: attempts[holder.version])
    assert (rival.in_charge, rival.version) == ("5", "2")


def test_without_a_champion_there_is_no_rival_and_nothing_to_say(tmp_path: Path) -> None:
    rival = meet(tmp_path, "loans", None, lambda _: WHOLE)
    evaluation = without_champion(Evaluation(), rival)
    assert (rival.in_charge, rival.warning, note_of(evaluation)) == (None, "", "")
    assert not is_barred(RunDirectory.create(tmp_path, "loans", {"project": PROJECT}), evaluation)
    assert compared(evaluation) == evaluation
    older = compared(Evaluation(rows=9, champion=ChampionResult("3")))
    assert (older.in_charge, older.champion, older.rows) == (None, None, 9), "then it is compared again"


def test_files_that_cannot_be_read_are_damage_and_another_target_is_not(tmp_path: Path) -> None:
    holder = Holder("3", tmp_path)
    result = look(holder, PROJECT)
    assert result is not None
    assert result.damaged
    for content in ("", "[1]", '{"task": '):
        (tmp_path / "bundle.json").write_text(content)
        cut = look(holder, PROJECT)
        assert cut is not None
        assert cut.damaged
    write_json(tmp_path / "bundle.json", {"task": "regression", "target": "age"})
    other = look(holder, PROJECT)
    assert other == Attempt(problem="it predicts age (regression), the candidate default (classification)")
    write_json(tmp_path / "bundle.json", {"task": "classification", "target": "default"})
    assert look(holder, PROJECT) is None
    named = look(Holder("3", None, "its files are gone"), PROJECT)
    assert named == Attempt(problem="its files are gone", damaged=True)
    (tmp_path / "learnt.json").write_text('{"format": 1')
    assert attempted(tmp_path, tmp_path / "1.npy", Outcome()).damaged
    assert attempted(tmp_path, tmp_path / "1.npy", Outcome(problem="no")) == Attempt(problem="no")
