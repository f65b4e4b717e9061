import os
from pathlib import Path

import pytest

from minigpt_pipeline.retention_policy import (
    SECONDS_OF_A_DAY,
    Bounds,
    KnownRun,
    Retention,
    RetentionError,
    choose,
    find_old_batches,
    read_retention,
)

PROJECT = Path(__file__).parents[1]
NOW = 1_000 * SECONDS_OF_A_DAY
NEVER = Bounds(keep=None, days=None)
TWO = Bounds(keep=2, days=10)


def make_run(age: float, run_id: str = "", **facts: object) -> KnownRun:
    name = run_id or f"{age:g} days"
    return KnownRun(**{"run_id": name, "search": name, "started": NOW - age * SECONDS_OF_A_DAY, **facts})  # type: ignore[arg-type]


def choose_ids(
    runs: list[KnownRun], of_runs: Bounds = TWO, of_models: Bounds = NEVER, champions: int | None = 0
) -> tuple[list[str], list[str]]:
    retention = Retention(
        runs=of_runs, models=of_models, champions=champions, quarantine=NEVER, schedules={"days": None}
    )
    choice = choose(runs, retention, NOW)
    return [run.run_id for run in choice.runs], [run.run_id for run in choice.models]


AGES = (1.0, 9.0, 11.0, 12.0, 90.0)


@pytest.mark.parametrize(
    ("bounds", "gone"),
    [
        (TWO, ["90 days", "12 days", "11 days"]),
        (Bounds(keep=4, days=10), ["90 days"]),
        (Bounds(keep=0, days=10), ["90 days", "12 days", "11 days"]),
        (Bounds(keep=0, days=0), ["90 days", "12 days", "11 days", "9 days", "1 days"]),
        (Bounds(keep=2, days=50), ["90 days"]),
        (Bounds(keep=5, days=0), []),
        (Bounds(keep=None, days=10), []),
        (Bounds(keep=0, days=None), []),
    ],
)
def test_what_is_both_old_and_behind_the_newest_goes_the_oldest_first(
    bounds: Bounds, gone: list[str]
) -> None:
    assert choose_ids([make_run(age) for age in AGES], bounds) == (gone, [])


@pytest.mark.parametrize(
    "facts",
    [
        {"needed_for": "its version is the champion"},
        {"needed_for": "it has the tag keep"},
        {"status": "RUNNING"},
        {"was_in_use": True},
    ],
)
def test_what_somebody_may_need_stays_however_old_it_is(facts: dict[str, object]) -> None:
    runs = [make_run(age) for age in AGES] + [make_run(500, "needed", has_model=True, **facts)]

    gone, models = choose_ids(runs, Bounds(keep=0, days=0), Bounds(keep=0, days=0), champions=1)

    assert sorted(gone) == sorted(f"{age:g} days" for age in AGES)
    assert models == []


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_that_has_ended_goes_however_it_did(status: str) -> None:
    assert choose_ids([make_run(11, status=status)], Bounds(keep=0, days=10)) == (["11 days"], [])


def test_of_the_versions_that_were_in_use_the_newest_stay() -> None:
    runs = [make_run(age, was_in_use=True) for age in AGES]

    assert choose_ids(runs, Bounds(keep=0, days=0), champions=3)[0] == ["90 days", "12 days"]
    assert choose_ids(runs, Bounds(keep=0, days=0), champions=None)[0] == []


def test_a_search_goes_with_all_its_trials_or_not_at_all() -> None:
    old = [make_run(30, "old"), make_run(29, "old 1", search="old"), make_run(28, "old 2", search="old")]
    goes_on = [make_run(40, "goes on"), make_run(2, "trial", search="goes on")]
    needed = [make_run(50, "kept"), make_run(49, "best", search="kept", needed_for="it has the tag keep")]
    runs = [*old, *goes_on, *needed]

    assert choose_ids(runs, Bounds(keep=0, days=10))[0] == ["old", "old 1", "old 2"]
    assert choose_ids(runs, Bounds(keep=2, days=10))[0] == []  # it is the second of three
    # A model of a trial that stays may go alone.
    with_models = [make_run(30, "search"), make_run(29, "trial", search="search", has_model=True)]
    assert choose_ids(with_models, NEVER, Bounds(keep=0, days=10)) == ([], ["trial"])


def test_models_go_before_their_runs_and_of_a_run_that_goes_none_is_left_over() -> None:
    runs = [make_run(age, has_model=age > 5) for age in AGES]

    gone, models = choose_ids(runs, Bounds(keep=4, days=10), Bounds(keep=1, days=10))

    assert gone == ["90 days"]
    assert models == ["12 days", "11 days"]  # that of 9 days is the newest


def test_refused_batches_go_the_oldest_first(tmp_path: Path) -> None:
    for age in AGES:
        batch = tmp_path / f"{age:g} days"
        batch.mkdir()
        os.utime(batch, (NOW - age * SECONDS_OF_A_DAY,) * 2)
    (tmp_path / ".half.partial").mkdir()

    assert [path.name for path in find_old_batches(tmp_path, TWO, NOW)] == ["90 days", "12 days", "11 days"]
    assert find_old_batches(tmp_path / "none", TWO, NOW) == []


def test_the_configuration_keeps_more_than_a_quarter_of_a_year() -> None:
    retention = read_retention(PROJECT)

    assert retention.runs.days is not None
    assert retention.runs.days >= 90
    assert retention.champions


def write(project: Path, local: str) -> Path:
    for name in ("base", "local"):
        (project / "conf" / name).mkdir(parents=True)
    base = (PROJECT / "conf/base/retention.yml").read_text(encoding="utf-8")
    (project / "conf/base/retention.yml").write_text(base, encoding="utf-8")
    (project / "conf/local/retention.yml").write_text(local, encoding="utf-8")
    return project


def test_a_machine_names_only_what_differs(tmp_path: Path) -> None:
    retention = read_retention(write(tmp_path, "runs: {keep: 7}\nchampions: null\n"))

    assert (retention.runs.keep, retention.champions) == (7, None)
    assert retention.runs.days == read_retention(PROJECT).runs.days


@pytest.mark.parametrize(
    ("local", "message"),
    [
        ("runs: {keep: -1}", r"runs.keep=-1: .* greater than or equal to 0 \(conf/base/retention.yml\)"),
        ("runs: {kept: 1}", "runs.kept is no setting: correct its name"),
        ("run: {keep: 1}", "run is no setting"),
        ("models: 3", r"models=3: "),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, local: str, message: str) -> None:
    with pytest.raises(RetentionError, match=message):
        read_retention(write(tmp_path, local))
