import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from minigpt_pipeline.parameters import SearchedParameter, SweepParameters, TrainingParameters
from minigpt_pipeline.search.outcome import NoTrialError, describe_best, tabulate_looks, tabulate_trials
from minigpt_pipeline.search.search import Search, limits_of_trials
from minigpt_pipeline.search.space import configured_values
from minigpt_pipeline.search.study_store import StudyError, StudyStore
from tests.search.conftest import BASE, SWEEP, Clock, ListSweepLog, RunSearch, take_looks

PROJECT = Path(__file__).parents[2]


def read_trials(store: StudyStore, **changed: Any) -> Any:
    with store.open({}) as study:
        return tabulate_trials(study, SweepParameters(**SWEEP | changed))


def read_values(store: StudyStore, state: str = "complete") -> list[Any]:
    trials = read_trials(store)
    return trials.loc[trials["state"] == state, [entry["name"] for entry in SWEEP["space"]]].values.tolist()


@pytest.mark.full
def test_a_search_learns_where_the_loss_is_low(store: StudyStore, run_search: RunSearch) -> None:
    log = run_search(max_trials=30)

    trials = read_trials(store).set_index("trial")
    first, last = trials["loss"].head(10).mean(), trials["loss"].tail(10).mean()
    assert last < first - 0.05
    assert log.best == sorted(log.best, reverse=True)
    assert log.best[-1] == trials["loss"].min()
    assert log.trials[0].facts == {"trial_state": "complete", "trial_reason": ""}


def test_what_is_configured_is_tried_first_where_the_space_holds_it(
    tmp_path: Path, run_search: RunSearch
) -> None:
    run_search(max_trials=3)

    first, *others = read_values(StudyStore(tmp_path / "sweep.db"))
    assert first == ["0.001", "2", "0.1"]
    assert first not in others


@pytest.mark.parametrize(
    "parameter",
    [
        {"name": "model.num_heads", "choices": [1, 3]},
        {"name": "model.num_blocks", "low": 2, "high": 3},
        {"name": "model.head_dim", "low": 4, "high": 8},
        {"name": "model.dropout", "low": 0.0, "high": 0.3, "step": 0.15},
    ],
)
def test_a_space_without_what_is_configured_has_no_such_trial(parameter: dict[str, Any]) -> None:
    learning_rate = SearchedParameter(**SWEEP["space"][0])

    assert configured_values(BASE, [learning_rate]) == {"training.optimizer.learning_rate": 0.001}
    assert configured_values(BASE, [learning_rate, SearchedParameter(**parameter)]) is None


def test_a_searched_parameter_that_changes_nothing_is_named(
    run_search: RunSearch, caplog: pytest.LogCaptureFixture
) -> None:
    run_search(max_trials=1, space=[{"name": "model.rare_word_dim", "choices": [None, 8]}])

    warning = "The space names model.rare_word_dim, which changes nothing without model.output_layer=adaptive"
    assert warning in caplog.text


FALLS = {"decay": "cosine"}
MINUTES = {"max_steps": None, "max_minutes": 1}


@pytest.mark.parametrize(
    ("optimizer", "trial", "ends_with_epochs"),
    [
        ({}, {}, False),
        ({}, MINUTES, False),
        (FALLS, {}, False),
        (FALLS, MINUTES, True),
        (FALLS, MINUTES | {"timed_steps": 4}, False),
        (FALLS | {"decay_steps": 9}, MINUTES, False),
    ],
)
def test_epochs_end_no_trial_but_where_the_learning_rate_falls_with_them(
    optimizer: dict[str, Any], trial: dict[str, Any], ends_with_epochs: bool
) -> None:
    sweep = SweepParameters(**SWEEP | {"trial": SWEEP["trial"] | trial})
    training = BASE["training"] | {"optimizer": BASE["training"]["optimizer"] | optimizer}

    limits = limits_of_trials(sweep, BASE | {"training": training})

    assert ("training.epochs" not in limits) is ends_with_epochs


def test_the_same_seed_suggests_the_same_in_one_go_and_in_two(tmp_path: Path, run_search: RunSearch) -> None:
    def search(name: str, *max_trials: int, seed: int = 7) -> list[Any]:
        store = StudyStore(tmp_path / name)
        for number in max_trials:
            with store.open({}) as study:
                sweep = SweepParameters(**SWEEP | {"max_trials": number, "seed": seed})
                Search(study, sweep, BASE, take_looks, ListSweepLog(), clock=Clock()).run()
        return read_values(store)

    once = search("once.db", 10)

    assert len(once) == 10
    assert search("twice.db", 6, 10) == once
    assert search("other.db", 10, seed=8) != once


def test_a_killed_search_tries_the_same_parameters_again_and_ends_as_if_it_had_not_been(
    tmp_path: Path, run_search: RunSearch
) -> None:
    killed, whole = StudyStore(tmp_path / "killed.db"), StudyStore(tmp_path / "whole.db")
    code = f"""
    import time
    from pathlib import Path
    from minigpt_pipeline.parameters import SweepParameters
    from minigpt_pipeline.search.search import Search
    from minigpt_pipeline.search.study_store import StudyStore
    from tests.search.conftest import BASE, SWEEP, Clock, ListSweepLog, take_looks

    trained = []
    def train(model, training, log):
        trained.append(1)
        if len(trained) == 6:
            log.log(1, {{"val/loss": 1.0, "train/words": 1}})
            print("in the middle", flush=True)
            time.sleep(60)
        return take_looks(model, training, log)

    with StudyStore(Path({str(killed.path)!r})).open({{}}) as study:
        Search(study, SweepParameters(**SWEEP), BASE, train, ListSweepLog(), clock=Clock()).run()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in the middle\n"
    process.send_signal(signal.SIGKILL)
    process.wait()

    for store in (killed, whole):
        with store.open({}) as study:
            Search(study, SweepParameters(**SWEEP), BASE, take_looks, ListSweepLog(), clock=Clock()).run()

    (dead,) = read_trials(killed).query("state == 'fail'").itertuples()
    assert (dead.reason, dead.loss) == ("killed", 1.0)
    assert read_trials(killed)["retries"].dropna().tolist() == [dead.trial]
    assert read_values(killed) == read_values(whole)
    assert len(read_values(whole)) == SWEEP["max_trials"]


class Killed(BaseException):
    """Ends a search as a kill does, which leaves no time to write anything."""


def test_a_trial_that_is_killed_twice_is_given_up_and_the_search_goes_on(
    store: StudyStore, run_search: RunSearch
) -> None:
    def train(model: Any, training: TrainingParameters, log: Any) -> float:
        if model.num_heads == 3:
            raise Killed
        return take_looks(model, training, log)

    space = [{"name": "model.num_heads", "choices": [2, 3]}]
    for _ in range(2):
        with pytest.raises(Killed):
            run_search(train, space=space)
    with store.open({}):
        pass

    trials = read_trials(store, space=space)
    first, second = trials[trials["model.num_heads"] == "3"].itertuples()
    assert (first.state, first.reason) == ("fail", "killed")
    assert (second.state, second.retries) == ("pruned", first.trial)
    assert second.reason == f"killed twice, at first as trial {first.trial}"
    assert "waiting" not in set(trials["state"])
    run_search(space=space)
    assert read_trials(store, space=space)["state"].isin(["complete", "pruned"]).sum() == SWEEP["max_trials"]


def test_a_trial_that_is_killed_before_it_took_its_parameters_has_them_when_it_is_repeated(
    store: StudyStore,
) -> None:
    values = {"model.num_heads": 2, "model.dropout": 0.1}
    with store.open({}) as study:
        study.enqueue_trial(values)
        study.ask().suggest_int("model.num_heads", 1, 3)

    with store.open({}) as study:
        repeated = study.ask()

    assert repeated.suggest_int("model.num_heads", 1, 3) == 2
    assert repeated.suggest_float("model.dropout", 0.0, 0.4) == 0.1


def test_pruning_gives_up_the_worse_and_none_of_the_best(store: StudyStore, run_search: RunSearch) -> None:
    log = run_search(max_trials=30, pruning={"first_trials": 3, "first_share": 0.4})

    trials = read_trials(store)
    given_up, complete = trials.query("state == 'pruned'"), trials.query("state == 'complete'")
    assert len(given_up) > 3
    assert trials.head(3)["state"].eq("complete").all()
    with store.open({}) as study:
        looks = tabulate_looks(study).groupby("trial")["step"].max()
    assert looks[given_up["trial"]].between(4, 9).all()  # of ten; before 40 % nothing is given up
    assert (looks[complete["trial"]] == 10).all()
    assert given_up["reason"].str.startswith("given up at step").all()
    # At the step at which it ended, a trial that was given up was worse than half of the others.
    at_the_same = tabulate_losses(store)
    for trial in given_up.itertuples():
        step = looks[trial.trial]
        others = at_the_same.loc[[n for n in complete["trial"] if n < trial.trial], step]
        assert trial.loss > others.median()
    assert log.trials[int(given_up["trial"].iloc[0])].facts["trial_state"] == "pruned"


def tabulate_losses(store: StudyStore) -> Any:
    with store.open({}) as study:
        return tabulate_looks(study).pivot(index="trial", columns="step", values="loss")


SLOW, FAST = 2, 3
"""Heads of models that look three times and seven times at the validation films, never at the same shares."""
SHARES = {SLOW: (0.44, 0.88, 1.0), FAST: (0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0)}


@pytest.mark.parametrize(
    ("others", "last", "state", "reason"),
    [
        # Slow trials have a loss at 45 %, where none of them has looked.
        ([(SLOW, 0.0), (SLOW, 0.1), (SLOW, 0.0)], (FAST, 0.4), "pruned", "given up at step 3"),
        # At 30 % one other trial has a loss, which is no median of three.
        ([(SLOW, 0.4), (SLOW, 0.4), (FAST, 0.0)], (FAST, 0.1), "complete", ""),
        # A slow one is judged at its first look.
        ([(FAST, 0.0), (FAST, 0.1), (FAST, 0.0)], (SLOW, 0.4), "pruned", "given up at step 1"),
    ],
)
def test_models_that_differ_in_speed_are_compared_at_equal_shares(
    store: StudyStore,
    run_search: RunSearch,
    others: list[tuple[int, float]],
    last: tuple[int, float],
    state: str,
    reason: str,
) -> None:
    def train(model: Any, training: TrainingParameters, log: Any) -> float:
        for step, share in enumerate(SHARES[model.num_heads], 1):
            loss = 5.0 - share + model.dropout
            log.log(step, {"train/seconds": 60 * share})
            log.log(step, {"val/loss": loss, "train/words": step})
        return loss

    with store.open({}) as study:
        for heads, dropout in [*others, last]:
            study.enqueue_trial({"model.num_heads": heads, "model.dropout": dropout})
    space = SWEEP["space"][1:]
    trial = SWEEP["trial"] | {"max_steps": None, "max_minutes": 1}
    run_search(train, trial=trial, space=space, max_trials=4, pruning={"first_trials": 3, "first_share": 0.3})

    *_, judged = read_trials(store, space=space).itertuples()
    assert judged.state == state
    assert judged.reason.startswith(reason)


def test_the_minutes_are_kept_over_all_attempts(store: StudyStore, run_search: RunSearch) -> None:
    clock = Clock()

    def train(*arguments: Any) -> float:
        return take_looks(*arguments, clock=clock)  # ten seconds

    run_search(train, clock, max_minutes=0.6)  # room for three trials
    assert len(read_values(store)) == 3
    run_search(train, clock, max_minutes=0.6)
    assert len(read_values(store)) == 3
    run_search(train, clock, max_minutes=0.8)

    assert len(read_values(store)) == 4
    assert clock.seconds == 40


def test_a_trial_that_outlasts_the_search_is_ended_and_tried_again(
    store: StudyStore, run_search: RunSearch
) -> None:
    clock = Clock()

    def train(*arguments: Any) -> float:
        return take_looks(*arguments, clock=clock)

    run_search(train, clock, max_minutes=0.1)

    assert clock.seconds == 6
    (trial, _) = read_trials(store).itertuples()
    assert (trial.state, trial.reason) == ("fail", "the minutes of the search are over")
    run_search(train, clock, max_minutes=10, max_trials=1)
    assert read_values(store) == read_values(store, "fail")


def test_parameters_that_do_not_go_together_are_refused_with_the_reason(
    store: StudyStore, run_search: RunSearch
) -> None:
    space = [{"name": "model.num_heads", "choices": [2, 5]}]
    run_search(space=space)

    trials = read_trials(store, space=space)
    refused = trials[trials["model.num_heads"] == "5"]
    assert refused["state"].eq("refused").all()
    assert refused["reason"].str.startswith("embed_dim=12 is not divisible by num_heads=5").all()
    assert len(refused)
    assert (trials["state"] == "complete").sum() == SWEEP["max_trials"]  # a refused one is none of them


def test_a_search_without_one_trained_model_says_why(store: StudyStore, run_search: RunSearch) -> None:
    run_search(space=[{"name": "model.num_heads", "choices": [5]}])

    with store.open({}) as study, pytest.raises(NoTrialError, match=r"None of 100 trials .* not divisible"):
        describe_best(study, "test")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FloatingPointError("The training loss is nan at step 3"), "The training loss is nan at step 3"),
        (MemoryError(), "no memory is left"),
    ],
)
def test_a_training_that_breaks_down_ends_its_trial_alone(
    store: StudyStore, run_search: RunSearch, error: Exception, reason: str
) -> None:
    def train(_model: Any, training: TrainingParameters, log: Any) -> float:
        if training.optimizer.learning_rate > 0.01:
            raise error
        return take_looks(_model, training, log)

    run_search(train)

    trials = read_trials(store)
    assert set(trials["state"]) == {"complete", "pruned"}
    assert set(trials.query("state == 'pruned'")["reason"]) == {reason}


def test_an_interrupted_trial_is_tried_again_when_the_search_goes_on(
    store: StudyStore, run_search: RunSearch
) -> None:
    trained: list[int] = []

    def train(*arguments: Any) -> float:
        trained.append(1)
        if len(trained) == 3:
            raise KeyboardInterrupt
        return take_looks(*arguments)

    with pytest.raises(KeyboardInterrupt, match=r"^the search goes on; trials done so far: 2$"):
        run_search(train)

    trials = read_trials(store)
    assert trials["state"].tolist() == ["complete", "complete", "fail", "waiting"]
    assert trials["reason"].tolist()[2] == "interrupted"


def test_an_interrupt_while_a_trial_is_timed_ends_the_search_too(
    store: StudyStore, run_search: RunSearch
) -> None:
    trained: list[int | None] = []

    def train(_model: Any, training: TrainingParameters, _log: Any) -> float:
        trained.append(training.max_steps)
        raise KeyboardInterrupt

    trial = {"max_steps": None, "max_minutes": 1, "evaluate_every_steps": 1, "timed_steps": 4}
    with pytest.raises(KeyboardInterrupt):
        run_search(train, trial=trial)

    assert trained == [4]
    trials = read_trials(store)
    assert trials["state"].tolist() == ["fail", "waiting"]
    assert trials["reason"].tolist()[0] == "interrupted"


def test_the_best_parameters_can_be_trained_with(store: StudyStore, run_search: RunSearch) -> None:
    import yaml

    run_search()

    with store.open({}) as study:
        written = describe_best(study, "test")
        best = study.best_trial
    assert yaml.safe_load(written) == {
        "training": {"optimizer": {"learning_rate": best.params["training.optimizer.learning_rate"]}},
        "model": {"num_heads": best.params["model.num_heads"], "dropout": best.params["model.dropout"]},
    }
    assert f"model.num_heads={best.params['model.num_heads']}" in written.splitlines()[1]


def test_only_one_search_writes_to_a_file(store: StudyStore) -> None:
    with (
        store.open({}),
        pytest.raises(StudyError, match=r"Another search is at work on .*sweep.db: wait"),
        store.open({}),
    ):
        pass


def test_trials_of_other_data_are_not_gone_on_with(
    store: StudyStore, caplog: pytest.LogCaptureFixture
) -> None:
    with store.open({"data": "a", "code": "a"}):
        pass
    with store.open({"data": "a", "code": "b"}):
        assert "made with other code" in caplog.text

    with (
        pytest.raises(StudyError, match=r"were made with other data, .*move the file away"),
        store.open({"data": "b"}),
    ):
        pass
