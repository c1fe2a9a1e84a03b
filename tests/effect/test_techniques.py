"""Every technique says what it is, edits what a recipe takes, and refuses machines that lack what it needs."""

from __future__ import annotations

import dataclasses
import datetime
import re
from pathlib import Path

import pytest

from headway.effect import techniques as package
from headway.effect.technique import Technique
from headway.effect.techniques import select, techniques
from headway.errors import ConfigError
from headway.train.recipe import Recipe
from tests.effect.simulated import BASE, setting

ALL = techniques()
PAGE = re.compile(r"https://[\w.-]+\.[a-z]{2,}/\S+")
IDENTIFIER = re.compile(r"\barXiv:\d{4}\.\d{4,5}\b|\bdoi:10\.\d{4,9}/\S+")
WORK = re.compile(r"[A-Z][\w-]{2,}(?: and [A-Z][\w-]+|, [A-Z][\w-]+| et al\.)* (\d{4})\b")


def names_a_source(reference: str) -> bool:
    """Whether it leads to something that can be read: a page, an identifier, or authors with a year in which there were computers."""
    years = [int(year) for year in WORK.findall(reference)]
    return bool(PAGE.search(reference) or IDENTIFIER.search(reference)) or any(
        1945 <= year <= datetime.date.today().year for year in years
    )


GPU = {"device": "cuda", "capability": (9, 0)}


def test_each_file_is_one_technique() -> None:
    files = [path for path in Path(package.__file__).parent.glob("*.py") if path.name != "__init__.py"]
    assert len(files) == len(ALL) >= 24


@pytest.mark.parametrize("technique", ALL.values(), ids=list(ALL))
def test_a_technique_names_itself_and_its_source(technique: Technique) -> None:
    assert technique.sentence.endswith(".")
    assert names_a_source(technique.reference)
    edit = technique.edit(setting())
    assert set(edit) <= set(Recipe.model_fields)
    technique.applied(setting())  # the recipe takes it
    if technique.changes == "nothing" and technique.measure == "step":
        maths = {"batch_size", "learning_rate", "schedule", "ema", "label_smoothing", "clip", "optimizer", "precision"}
        assert not maths & set(edit)


@pytest.mark.parametrize(
    "reference",
    [
        "20",
        "20 % faster",
        "see 2019",
        "Nobody 20",
        "Nobody 2199",
        "Nobody 1066",
        "https://",
        "http:///x",
        "arXiv",
        "doi:",
        "",
    ],
)
def test_what_leads_nowhere_is_no_source(reference: str) -> None:
    assert not names_a_source(reference)


def test_authors_with_a_year_are_a_source() -> None:
    assert names_a_source("Polyak and Juditsky 1992")
    assert names_a_source("Micikevicius et al. 2018")


def test_a_gpus_techniques_are_refused_on_a_cpu_with_the_reason() -> None:
    refused = {name: t.unsupported(setting()) for name, t in ALL.items() if t.unsupported(setting())}
    assert refused["tf32"] == "needs an NVIDIA GPU of compute capability 8.0"
    assert refused["fp8"] == "needs an NVIDIA GPU of compute capability 8.9"
    assert refused["CUDA graphs"] == "needs an NVIDIA GPU"
    assert refused["channels-last"] == "needs a network of convolutions"
    assert ALL["fp8"].unsupported(setting(**GPU)) is None
    assert ALL["fp8"].unsupported(setting(**GPU, torchao=False)) == "needs the package torchao"
    assert ALL["fp8"].unsupported(setting(device="cuda", capability=(8, 0))) == refused["fp8"]
    assert ALL["thread count"].unsupported(setting(**GPU)) == "the GPU does the arithmetic"
    assert ALL["compile default"].unsupported(setting(compiler=False)) == "needs a C++ compiler such as g++"


def test_what_the_recipe_has_already_is_not_measured() -> None:
    clipped = BASE.model_copy(update={"clip": 1.0})
    assert ALL["gradient clipping"].unsupported(setting(recipe=clipped)) == "the project's recipe has it already"


def test_a_larger_batch_scales_its_rate_by_the_root_for_adamw_and_in_full_for_sgd() -> None:
    larger = ALL["larger batch"]
    assert larger.edit(setting())["learning_rate"] == pytest.approx(2 * BASE.learning_rate)
    sgd = setting(recipe=BASE.model_copy(update={"optimizer": "sgd"}))
    assert larger.edit(sgd)["learning_rate"] == pytest.approx(4 * BASE.learning_rate)
    assert larger.unsupported(setting(rows=2000)) == "an epoch would have fewer than ten steps"


def test_names_are_found_however_they_are_written_and_unknown_ones_refused() -> None:
    assert [t.name for t in select(["Fused-Optimizer", "cuda graphs"])] == ["fused optimizer", "CUDA graphs"]
    assert len(select([])) == len(ALL)
    with pytest.raises(ConfigError, match="there is no technique 'bf61'; did you mean bf16?"):
        select(["bf61"])


def test_a_technique_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ALL["bf16"].name = "x"  # type: ignore[misc]
