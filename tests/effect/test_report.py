"""The report needs nothing but itself, and holds what was found."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from headway.effect.pictures import axis_limits, drawn_ends
from headway.effect.report import write_report
from headway.effect.results import Beside, Confirmed, Effect, Recommended, StudyResult, Unsettled, Whole
from tests.effect.studied import studied

ENVIRONMENT = {"cpu": "A <CPU>", "cores": 2, "gpus": [], "packages": {"torch": "2.13.0"}}


def test_the_report_is_whole_and_needs_no_network(tmp_path: Path) -> None:
    result = studied()
    page = write_report(tmp_path / "effect.html", "a<b", result, ENVIRONMENT).read_text()
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert "a&lt;b" in page
    assert "A &lt;CPU&gt;, 2 cores, no GPU, torch 2.13.0" in page
    assert page.count("<svg") == 3
    for row in result.techniques:
        assert row.name in page
        assert (row.reason or row.verdict) in html.unescape(page)
    samples = json.loads(re.search(r'id="samples">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    assert len(samples["log_ratios"]["bf16"]) >= 2, "a list for each session"
    assert len(samples["curves"]["baseline"]) == 10, "twice as many as of a technique: they are everybody's margin"
    assert "Hodges" in page
    assert '"residence": "device"' in html.unescape(page)


def test_what_was_found_is_said_in_numbers(tmp_path: Path) -> None:
    result = studied()
    assert result.recommended.names[:2] == ("resident data", "fused optimizer")
    time, to_target = result.recommended.time, result.recommended.to_target
    assert time is not None
    assert to_target is not None
    assert 0.5 < time.value < 0.62
    assert "one-cycle" in result.recommended.names
    assert to_target.value < 0.5
    assert "times as fast" in result.summary
    verdicts = {row.name: row.verdict for row in result.techniques}
    assert verdicts["label smoothing"] == "changes quality"
    assert verdicts["tf32"] == "unsupported here"


def test_the_gain_is_the_heading_then_what_helps_and_what_was_not_tried_is_folded(tmp_path: Path) -> None:
    result = studied()
    page = write_report(tmp_path / "e.html", "x", result, ENVIRONMENT).read_text()
    gain = result.recommended.to_target
    assert gain is not None
    assert f"<h1>{1 / gain.value:.1f} times as fast at the same quality</h1>" in page
    helping = [row.name for row in result.techniques if row.verdict == "helps"]
    wins = page[page.index("What helps") : page.index("<figure")]
    assert len(helping) >= 2
    assert all(name in wins for name in helping)
    assert wins.count("times as fast") == len(helping)
    untried = re.search(r'<details id="untried">.*?</details>', page, re.DOTALL)
    assert untried is not None
    assert "1 technique could not be tried here" in untried[0]
    assert "tf32" in untried[0]
    assert "tf32" not in page.replace(untried[0], "")
    nothing = write_report(
        tmp_path / "e.html", "x", replace(result, recommended=Recommended()), ENVIRONMENT
    ).read_text()
    assert "<h1>Nothing to change: plain PyTorch is recommended</h1>" in nothing


def test_one_wide_interval_does_not_squeeze_the_others() -> None:
    narrow = [Effect(0.8, 0.75, 0.85), Effect(1.05, 1.0, 1.1)]
    limits = axis_limits(narrow)
    wide = [Effect(1.0, 0.01, 300.0), Effect(0.9, 0.0, None), Effect(1.0, 0.4, 2.5)]
    assert axis_limits([*narrow, *wide]) == limits
    for effect in [*narrow, *wide, Effect(40.0, 35.0, 45.0), Effect(0.001, 0.0005, 0.002)]:
        low, high = drawn_ends(effect, limits)
        assert limits[0] <= low <= high <= limits[1]
    assert drawn_ends(narrow[0], limits) == (0.75, 0.85)
    assert axis_limits([*narrow, Effect(40.0, 35.0, 45.0)])[1] < 4, "nor does one that is far away"
    assert axis_limits([Effect(1.0, 0.99, 1.01)]) == pytest.approx((1 / 1.15, 1.15))


def test_a_study_that_measured_nothing_has_a_report_too(tmp_path: Path) -> None:
    rows = tuple(row for row in studied().techniques if row.name == "tf32")
    result = replace(studied(), techniques=rows, stack=Whole(), recommended=Recommended())
    assert "<svg" not in write_report(tmp_path / "e.html", "x", result, ENVIRONMENT).read_text()


def test_a_study_is_read_from_its_file_as_it_was_found(tmp_path: Path) -> None:
    studied().write(tmp_path / "effect.json")
    values = json.loads((tmp_path / "effect.json").read_text())
    assert {"with", "without", "stack", "techniques", "recommended", "curves", "contention"} <= values.keys()
    assert StudyResult.read(tmp_path / "effect.json") == studied()


def test_no_text_of_a_study_is_taken_for_html(tmp_path: Path) -> None:
    """Names and reasons may come from a project, and end up in every part of the report."""
    hostile = "</script><b>&"
    first = studied().techniques[0]
    result = replace(
        studied(),
        techniques=(replace(first, name=hostile, reason=hostile, verdict="helps", samples=((0.1,),)),),
        stack=Whole(),
        without=(Beside(hostile, Effect(1.0, 0.9, 1.1), "helps"),),
        open=(Unsettled(hostile, hostile, 90.0),),
        recommended=Recommended(
            fields={"x": hostile}, confirmations=(Confirmed(names=(hostile,), outcome="confirmed"),)
        ),
    )
    page = write_report(tmp_path / "effect.html", hostile, result, ENVIRONMENT).read_text()
    outside = re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)
    assert hostile not in outside
    assert outside.count("&lt;/script&gt;&lt;b&gt;&amp;") == 13, (
        "title, heading, recommendation, win, tables (3), stack, open (2), together, recipe, samples"
    )
    samples = json.loads(re.search(r'id="samples">(.*?)</script>', outside, re.DOTALL)[1])  # type: ignore[index]
    assert list(samples["log_ratios"]) == [hostile]
