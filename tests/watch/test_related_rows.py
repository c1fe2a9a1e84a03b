"""Drift of rows that belong together: against closed forms, a one-way analysis of variance, and simulations without any drift."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import chi2

from headway.columns import column_type
from headway.data.config import DataConfig, SplitConfig
from headway.data.opening import open_table
from headway.data.profile import Profile, profile_table
from headway.data.split import TEST, Division
from headway.files.atomic import read_json, write_json
from headway.watch.clusters import Clusters, Correlation, Related, Sizes, Together, bucket_of
from headway.watch.config import WatchConfig
from headway.watch.judge import expectations, shifts
from headway.watch.reference import Reference, shape, summarise
from headway.watch.rows import open_rows
from headway.watch.statistics import critical_psi, expected_psi, psi, weighted_chi2
from headway.watch.units import TestRows, relate, sizes_of

GROUP = 40
COLUMNS = ("a", "b", "c", "d")


def columns_of(values: np.ndarray) -> Profile:
    """(N, 4) as a profile."""
    columns = {name: column_type("numeric").summary(name) for name in COLUMNS}
    for name, column in zip(COLUMNS, values.T, strict=True):
        columns[name].update(pa.array(column))
    return Profile(len(values), columns)


def drawn(rng: np.random.Generator, groups: int, alike: float) -> tuple[np.ndarray, np.ndarray]:
    """(N,) groups of 40 rows, and (N, 4) standard normal values with the intraclass correlation ``alike``."""
    group = np.repeat(np.arange(groups), GROUP)
    effect = rng.normal(size=(groups, len(COLUMNS)))[group]
    return group, np.sqrt(alike) * effect + np.sqrt(1 - alike) * rng.normal(size=effect.shape)


def test_texts_are_counted_by_unit_in_the_bins_of_their_lengths() -> None:
    summary = column_type("text").summary("note")
    texts = pa.array(["x" * n for n in range(1, 101)])
    summary.update(texts)
    column = shape(summary)
    clusters = column.clusters()
    clusters.update(texts, np.zeros(100, int))
    assert len(column.counts) == 10
    assert clusters._counts.sum(0)[:10].tolist() == pytest.approx(list(column.counts))


def trained(rng: np.random.Generator, groups: int, alike: float) -> Reference:
    """What a training on such groups keeps."""
    group, values = drawn(rng, groups, alike)
    reference = summarise(columns_of(values), None, ())
    columns = {}
    for (name, column), numbers in zip(reference.columns.items(), values.T, strict=True):
        clusters = column.clusters()
        clusters.update(pa.array(numbers), bucket_of(group))
        columns[name] = replace(column, correlation=clusters.correlation(Sizes.of(group).size))
    return replace(reference, columns=columns)


@pytest.mark.parametrize(("alike", "before"), [(0.1, 0.3), (0.5, 0.8)])
def test_unchanged_groups_raise_no_more_alarms_than_stated(alike: float, before: float) -> None:
    """Stated: 5 %. Where rows count as independent, 25 new groups raise an alarm in 42 (97) % of the watches; by group in 4 (6) %."""
    rng = np.random.default_rng(0)
    limits = WatchConfig(psi=0.001, jensen_shannon=0.01, false_alarms=0.05)
    alarms, independent, watches = 0, 0, 300
    references = [trained(rng, 300, alike) for _ in range(10)]
    for watch in range(watches):
        reference = references[watch % 10]
        group, values = drawn(rng, 25, alike)
        newest = columns_of(values)
        alarms += any(s.drifted for s in shifts(reference, newest, None, limits, Sizes.of(group)))
        independent += any(s.drifted for s in shifts(reference, newest, None, limits))
    assert independent / watches > before
    assert alarms / watches <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / watches)


@pytest.mark.parametrize(("days", "most", "least"), [(1, 0.0, 0.0), (3, 0.075, 0.0), (5, 0.075, 0.5), (12, 0.075, 0.8)])
def test_few_days_of_training_raise_no_more_alarms_than_stated(days: int, most: float, least: float) -> None:
    """Stated: 5 %. Taken by hours, 3 to 19 days raise an alarm in 73 to 99 % of the watches: what a day's hours share is no chance then."""
    rng, alarms, hits, watches = np.random.default_rng(days), 0, 0, 240
    limits = WatchConfig(psi=0.001, jensen_shannon=0.01, false_alarms=0.05)
    references = [trained(rng, days, 0.1) for _ in range(80)]
    for watch in range(watches):
        reference = references[watch % len(references)]
        group, values = drawn(rng, 3, 0.1)
        alarms += any(s.drifted for s in shifts(reference, columns_of(values), None, limits, Sizes.of(group)))
        hits += any(s.drifted for s in shifts(reference, columns_of(values + 1.5), None, limits, Sizes.of(group)))
    assert alarms <= most * watches
    assert hits >= least * watches


def test_a_single_new_unit_is_judged_by_how_much_units_differ_in_training() -> None:
    rng = np.random.default_rng(1)
    limits = WatchConfig(psi=0.001, jensen_shannon=0.01, false_alarms=0.05)
    reference, alarms, independent = trained(rng, 300, 0.1), 0, 0
    for _ in range(100):
        newest = columns_of(drawn(rng, 1, 0.1)[1])
        alarms += any(s.drifted for s in shifts(reference, newest, None, limits, Sizes.of(np.zeros(GROUP))))
        independent += any(s.drifted for s in shifts(reference, newest, None, limits))
    assert alarms <= 12 < independent


def test_real_drift_of_groups_is_found_in_the_column_that_drifted() -> None:
    rng = np.random.default_rng(2)
    reference, hits, others = trained(rng, 300, 0.1), 0, 0
    for _ in range(40):
        group, values = drawn(rng, 100, 0.1)
        values[:, 1] += 0.6
        drifted = [
            s.column for s in shifts(reference, columns_of(values), None, WatchConfig(), Sizes.of(group)) if s.drifted
        ]
        hits, others = hits + ("b" in drifted), others + (drifted not in ([], ["b"]))
    assert hits >= 38
    assert others == 0


def test_the_correlation_is_that_of_a_one_way_analysis_of_variance() -> None:
    """Of two bins there is one contrast: the share's. 400 groups, a probability of its own each."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(400), GROUP)
    values = (rng.random(len(group)) < rng.beta(3, 3, 400)[group]).astype(float)
    means = values.reshape(400, GROUP).mean(1)
    between = GROUP * means.var(ddof=1)
    within = ((values.reshape(400, GROUP) - means[:, None]) ** 2).sum() / (400 * (GROUP - 1))
    anova = (between - within) / (between + (GROUP - 1) * within)
    clusters = Clusters((0.5,), (), 2)
    for start in range(0, len(group), 1000):
        clusters.update(pa.array(values[start : start + 1000]), bucket_of(group[start : start + 1000]))
    alike = clusters.correlation(GROUP)
    assert alike.mean == pytest.approx(anova, rel=0.1)
    assert alike.mean == pytest.approx(1 / 7, rel=0.15)  # that of a beta-binomial: 1 / (3 + 3 + 1)
    assert alike.largest == pytest.approx(alike.mean)


def test_what_all_rows_of_a_unit_share_has_the_correlation_1_and_independent_rows_have_about_0() -> None:
    rng = np.random.default_rng(4)
    group = np.repeat(np.arange(900), GROUP)
    city, colour = (rng.integers(0, 5, size) for size in (900, len(group)))
    for codes, alike in ((city[group], 1.0), (colour, 0.0)):
        clusters = Clusters((), ("0", "1", "2", "3"), 5)
        texts = pa.array(codes.astype(str)).filter(pa.array(codes >= 0))
        clusters.update(texts, bucket_of(group))
        assert clusters.correlation(GROUP).mean == pytest.approx(alike, abs=0.01)


def test_nulls_that_come_by_the_group_are_as_alike_as_the_group() -> None:
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(900), GROUP)
    absent = (rng.random(900) < 0.2)[group]
    clusters = Clusters((0.0,), (), 2)
    clusters.update(pa.array(np.where(absent, np.nan, rng.normal(size=len(group))), from_pandas=True), bucket_of(group))
    alike = clusters.correlation(GROUP)
    assert alike.nulls == pytest.approx(1, abs=0.01)
    assert alike.mean == pytest.approx(0, abs=0.01)


def test_the_tail_of_a_weighted_sum_is_the_simulated_one_and_of_equal_weights_that_of_chi_squared() -> None:
    rng = np.random.default_rng(6)
    weights = np.array([5.0, *[1.0] * 8])
    sums = (rng.chisquare(1, (400_000, 9)) * weights).sum(1)
    for tail in (0.05, 0.005):
        assert (sums > weighted_chi2(weights, 10**9, tail)).mean() == pytest.approx(tail, rel=0.25)
    assert weighted_chi2(np.full(9, 0.3), 10**9, 0.01) == pytest.approx(0.3 * chi2.isf(0.01, 9))
    assert weighted_chi2(weights, 19, 0.01) > weighted_chi2(weights, 10**9, 0.01)


def test_rows_without_units_keep_the_law_of_independent_rows() -> None:
    rng = np.random.default_rng(7)
    reference = trained(rng, 50, 0.2)
    newest = columns_of(drawn(rng, 5, 0.2)[1])
    for shift in shifts(reference, newest, None, WatchConfig()):
        column = reference.columns[shift.column]
        counts = column.bin_counts(newest.columns[shift.column])
        share = 0.01 / len(COLUMNS)
        assert shift.chance == float(chi2.isf(share, 9) * (1 / sum(column.counts) + 1 / counts.sum()))
        assert (shift.psi, shift.effect) == (psi(np.asarray(column.counts), counts), 1.0)
    one, other = np.array([50.0, 50]), np.array([30.0, 70])
    assert expected_psi(one, other) == 1 / 100 + 1 / 100
    related = Related(Correlation(0.5, 0.5, 0, 3.0, 1000), 5.0)  # design effects 2 and 3
    assert expected_psi(one, other, related) == pytest.approx(2 / 100 + 3 / 100)
    assert critical_psi(one, other, 0.01, related) == pytest.approx(chi2.isf(0.01, 1) * 5 / 100, rel=0.02)


def test_a_group_without_values_or_with_a_category_of_its_own_is_chance_where_groups_have_been_like_that() -> None:
    """40 of 400 rows: by themselves more than the limits and chance allow."""
    correlation = Correlation(1.0, 1.0, 1.0, GROUP, 900)
    column = replace(shape(column_type("categorical").summary("a")), rows=36_000, nulls=1_000, known=("x",))
    newest = column_type("categorical").summary("a")
    newest.update(pa.array(["x"] * 360 + ["y"] * 40))
    profile = Profile(400, {"a": newest})

    def limits(alike: Correlation | None) -> dict[str, float]:
        reference = Reference({"a": replace(column, correlation=alike)}, None, ())
        rules = expectations(reference, profile, WatchConfig(), Sizes(400, 10, GROUP) if alike else None)
        return {rule.expect: 1 - rule.model_dump()["mostly"] for rule in rules}

    for rule in ("column_values_to_not_be_null", "column_values_to_be_in_set"):
        assert limits(None)[rule] < 0.13 < limits(correlation)[rule]


def shops(folder: Path, groups: int, name: str, seed: int = 0) -> Path:
    """A file of shops with 40 rows each, on as many days, whose prices are alike."""
    rng = np.random.default_rng(seed)
    group, values = drawn(rng, groups, 0.3)
    days = np.datetime64("2024-01-01T10:00:00", "s") + group.astype("timedelta64[D]")
    target = np.where(rng.random(len(group)) < 0.4, "yes", "no")
    table = {
        "shop": [f"s{g}" for g in group],
        "day": days,
        "price": values[:, 0],
        "weight": rng.normal(size=len(group)),
    }
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({**table, "sold": target}), folder / name)
    return folder


DATA = DataConfig(source="shops", target="sold", features={"price": "numeric", "weight": "numeric"}, keys=("shop",))
SPLITS = {
    "group": SplitConfig(by="group", column="shop"),
    "key": SplitConfig(by="random"),
    "day": SplitConfig(by="time", column="day"),
}


def registered(root: Path, split: SplitConfig, predictions: str = "price") -> Reference:
    """What a registration keeps of the shops."""
    table = open_table(DATA, "classification", root, ("shop", "day"))
    division = Division(table, split)
    test = division.parts == TEST
    profile = profile_table(table)
    predictions_made = np.concatenate([chunk.batch.column(predictions).to_numpy() for chunk in table.chunks()])[test]
    prediction = column_type("numeric").summary("prediction")
    prediction.update(pa.array(predictions_made))
    unit, values, _ = division.units(test)
    codes = np.unique(values, return_inverse=True)[1]
    return relate(summarise(profile, prediction, ()), division, TestRows(pa.array(predictions_made), unit, codes))


@pytest.mark.parametrize("unit", SPLITS)
def test_a_registration_keeps_how_alike_rows_of_one_unit_are_and_a_watch_how_many_units_there_are(
    unit: str, tmp_path: Path
) -> None:
    shops(tmp_path / "shops", 150, "a.parquet")
    reference = registered(tmp_path, SPLITS[unit])
    reference.write(tmp_path / "reference.json")
    assert Reference.of(tmp_path, "1") == reference
    together = reference.together
    assert together is not None
    assert (together.name, together.sizes) == (unit, Sizes(6000, 150, GROUP))
    assert reference.prediction is not None
    for column in (reference.columns["price"], reference.prediction):
        assert column.correlation is not None
        assert 0.15 < column.correlation.largest < 0.45
    weight = reference.columns["weight"].correlation
    assert weight is not None
    assert weight.largest < 0.02
    newest = open_rows(DATA, DATA.features, tmp_path, str(shops(tmp_path / "new", 7, "b.parquet", 1)))
    assert sizes_of(newest, together) == Sizes(280, 7, GROUP)
    pq.write_table(pq.read_table(tmp_path / "new" / "b.parquet").drop_columns(["shop", "day"]), tmp_path / "c.parquet")
    sizes = sizes_of(open_rows(DATA, DATA.features, tmp_path, str(tmp_path / "c.parquet")), together)
    assert (sizes.units, sizes.size) == (0, GROUP)
    assert sizes.note.endswith(f"is not in these files, so {unit}s are taken to be as large as in training, 40.0 rows")


@pytest.mark.parametrize("days", [1, 4, 30])
@pytest.mark.parametrize("numbers", [False, True])
def test_few_days_and_plain_numbers_are_the_units_of_the_gate(days: int, numbers: bool, tmp_path: Path) -> None:
    def file(folder: str, first: int, count: int) -> str:
        steps = np.repeat(np.arange(first * 40, (first + count) * 40), 6)  # 40 moments of 6 rows a day
        moments = steps if numbers else np.datetime64("2024-01-01", "s") + (steps * 2160).astype("timedelta64[s]")
        (tmp_path / folder).mkdir()
        table = pa.table({"day": moments, "price": np.random.default_rng(0).normal(size=len(steps))})
        pq.write_table(
            table.append_column("sold", pa.array(["yes", "no"] * (len(steps) // 2))), tmp_path / folder / "a.parquet"
        )
        return str(tmp_path / folder)

    file("shops", 0, days)
    data = DataConfig(source="shops", target="sold", features={"price": "numeric"})
    table = open_table(data, "classification", tmp_path, ("day",))
    division = Division(table, SPLITS["day"])
    test = TestRows(pa.array(np.zeros(int((division.parts == TEST).sum()))), "row", np.zeros(0, np.int64))
    together = relate(summarise(profile_table(table), None, ()), division, test).together
    assert together is not None
    newest = open_rows(data, data.features, tmp_path, file("new", days, 2))
    sizes = sizes_of(newest, together)
    if numbers:
        assert (together.name, together.sizes.units) == ("block", 20)
        assert sizes.units == pytest.approx(20 * 2 / days, abs=2), "as long as those of training"
    else:
        assert (together.name, together.sizes.units, sizes.units) == ("day", days, 2)
    few = f"training has {days} day{'' if days == 1 else 's'} of day only, so that small changes cannot be distinguished from chance"
    assert (few in together.sizes.note) == (days < 10 and not numbers)


def test_rows_with_keys_of_their_own_or_without_any_stand_for_themselves(tmp_path: Path) -> None:
    shops(tmp_path / "shops", 30, "a.parquet")
    plain = DATA.model_copy(update={"keys": ()})
    table = open_table(plain, "classification", tmp_path, ("shop", "day"))
    reference = summarise(profile_table(table), None, ())
    test = TestRows(pa.array(np.zeros(0)), "row", np.zeros(0, np.int64))
    related = relate(reference, Division(table, SplitConfig(by="random")), test)
    assert related == replace(reference, together=Together())


def test_a_reference_of_an_older_version_reads_and_says_nothing_of_units(tmp_path: Path) -> None:
    reference = trained(np.random.default_rng(8), 20, 0.1)
    reference.write(tmp_path / "reference.json")
    values = read_json(tmp_path / "reference.json")
    del values["together"]
    for column in values["columns"].values():
        del column["correlation"]
    write_json(tmp_path / "reference.json", values)
    older = Reference.of(tmp_path, "1")
    assert older.together is None
    assert older.columns == {name: replace(c, correlation=None) for name, c in reference.columns.items()}
