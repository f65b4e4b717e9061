from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from minigpt_pipeline.model import training_loop
from minigpt_pipeline.model.checkpoint_store import CheckpointStore
from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.model.training import describe_training, train_model
from minigpt_pipeline.parameters import OptimizerParameters, RetrainingParameters
from minigpt_pipeline.pipelines.training.nodes import discard_checkpoints
from minigpt_pipeline.text.token_tables import mark_tokens
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

Outputs = tuple[TrainedModel, pd.DataFrame, pd.DataFrame]


@pytest.fixture
def run(training_inputs: dict[str, Any]) -> Callable[[], Outputs]:
    def run() -> Outputs:
        return train_model(**{name.removeprefix("params:"): value for name, value in training_inputs.items()})

    return run


def test_train_model_says_how_the_model_was_trained(
    run: Callable[[], Outputs], training_inputs: dict[str, Any]
) -> None:
    trained_model, history, speed = run()

    assert trained_model.tokenizer == training_inputs["tokenizer"]
    expected = {
        "seed": 3,
        "device": "CPU",
        "precision": "float32",
        "epochs": 2,
        "steps": 4,
        "ended_by": "max_steps",
    }
    assert expected.items() <= trained_model.metadata.items()
    assert history.columns.tolist() == ["epoch", "step", "words", "name", "value"]
    assert speed.columns.tolist() == ["step", "seconds", "tokens_per_second"]
    assert {row["epoch"] for row in training_inputs["training_log"].samples} == {1}


@pytest.mark.parametrize("part", ["train_token_ids", "validation_token_ids"])
def test_train_model_refuses_ids_of_another_tokenizer(
    run: Callable[[], Outputs], training_inputs: dict[str, Any], part: str
) -> None:
    other = WordTokenizer(Vocabulary(("", "[UNK]", "other")))
    training_inputs[part] = mark_tokens(training_inputs[part], other)

    with pytest.raises(ValueError, match=f"are of tokenizer {other.digest}"):
        run()


@pytest.mark.parametrize(("sequences", "has_learnt_ends"), [("truncated", False), ("packed", True)])
def test_train_model_says_whether_the_model_has_learnt_ends(
    run: Callable[[], Outputs], training_inputs: dict[str, Any], sequences: str, has_learnt_ends: bool
) -> None:
    """And lets it end the texts that it writes on the way."""
    changed = {"sequences": sequences, "max_steps": None, "epochs": 1}
    training_inputs["params:training"] = training_inputs["params:training"].model_copy(update=changed)
    generation = training_inputs["params:generation"]
    longer = {"stop_at_end_of_review": None, "top_k": None, "max_new_tokens": 400}
    sampling = generation.sampling.model_copy(update=longer)
    training_inputs["params:generation"] = generation.model_copy(update={"sampling": sampling})

    trained_model, _, _ = run()

    assert trained_model.has_learnt_ends is has_learnt_ends
    assert {row["ended"] for row in training_inputs["training_log"].samples} == {has_learnt_ends}


def test_train_model_gives_the_same_again(run: Callable[[], Outputs]) -> None:
    (first, first_history, _), (again, history_again, _) = run(), run()

    assert first == again
    pd.testing.assert_frame_equal(first_history, history_again)


def test_train_model_leaves_its_inputs_alone(
    run: Callable[[], Outputs], training_inputs: dict[str, Any]
) -> None:
    before = pa.Table.from_batches(training_inputs["train_token_ids"].to_batches())

    run()

    assert training_inputs["train_token_ids"].equals(before)


def test_train_model_learns_from_the_first_words_of_a_review(
    run: Callable[[], Outputs], training_inputs: dict[str, Any]
) -> None:
    (_, history, _), table = run(), training_inputs["train_token_ids"]
    lengths = np.minimum([len(ids) for ids in table["token_ids"].to_pylist()], 9)

    assert history.loc[history["step"] == 3, "words"].iloc[0] == (lengths - 1).sum()


WARM, COLD = (RetrainingParameters(refresh_vocabulary=False, warm_start=warm) for warm in (True, False))


def test_train_model_starts_from_the_weights_of_the_champion(
    run: Callable[[], Outputs], training_inputs: dict[str, Any]
) -> None:
    champion, fresh_history, _ = run()

    training_inputs |= {"champion": champion, "params:retraining": WARM}
    warm, history, _ = run()
    again, _, _ = run()

    assert warm == again
    assert warm.metadata["warm_start"] == champion.weights_digest
    assert first_loss(history) < first_loss(fresh_history)


def first_loss(history: pd.DataFrame) -> float:
    return float(history.loc[history["name"] == "train/loss", "value"].iloc[0])


@pytest.mark.parametrize(("has_champion", "retraining"), [(True, COLD), (False, WARM)])
def test_train_model_starts_from_fresh_weights_otherwise(
    run: Callable[[], Outputs],
    training_inputs: dict[str, Any],
    has_champion: bool,
    retraining: RetrainingParameters,
) -> None:
    fresh, _, _ = run()
    training_inputs |= {"champion": fresh if has_champion else None, "params:retraining": retraining}

    assert run()[0] == fresh
    assert "warm_start" not in fresh.metadata


class StoppedError(Exception):
    pass


@pytest.fixture
def find_fingerprint(
    training_inputs: dict[str, Any], run: Callable[[], Outputs], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, str]]:
    """Return what tells a training from others, without training."""

    def stop(*_: object, checkpoints: CheckpointStore, **__: object) -> None:
        found.update(checkpoints._fingerprint)
        raise StoppedError

    def find(**changed: Any) -> dict[str, str]:
        found.clear()
        with monkeypatch.context() as patched:
            patched.setattr(training_loop, "train", stop)
            for name, value in changed.items():
                patched.setitem(training_inputs, name, value)
            with pytest.raises(StoppedError):
                run()
        return dict(found)

    found: dict[str, str] = {}
    return find


@pytest.mark.parametrize(
    ("name", "update", "differs"),
    [
        ("params:training", {"max_steps": 400, "max_minutes": 3.0, "epochs": 9}, set()),
        ("params:training", {"checkpoint_every_steps": 7, "checkpoint_every_minutes": 1.0}, set()),
        ("params:training", {"patience": 3}, set()),
        (
            "params:training",
            {"sequences": "packed"},
            {"training", "train_token_ids", "validation_token_ids"},  # it begins with the end of a review
        ),
        ("compute", {"device": "cpu", "memory_growth": False}, set()),  # auto took the CPU as well
        ("params:training", {"seed": 4}, {"training"}),
        ("params:training", {"optimizer": OptimizerParameters(name="sgd", learning_rate=0.2)}, {"training"}),
        ("params:training", {"batch_size": 4}, {"training"}),
        ("params:training", {"log_every_steps": 3}, {"training"}),
        ("params:training", {"evaluate_every_steps": 3}, {"training"}),
        ("params:training", {"sample_every_epochs": 2}, {"training"}),
        ("params:generation", {"seeds": [0, 2]}, {"generation"}),
        ("params:model", {"dropout": 0.2}, {"model"}),
        ("params:model", {"normalization": "pre"}, {"model"}),
        ("params:model", {"positions": "rotary"}, {"model"}),
        ("compute", {"precision": "mixed_bfloat16"}, {"compute"}),
        ("compute", {"deterministic": False}, {"compute"}),
    ],
)
def test_a_training_is_told_from_others_by_all_that_decides_its_outcome(
    find_fingerprint: Callable[..., dict[str, str]],
    training_inputs: dict[str, Any],
    name: str,
    update: dict[str, Any],
    differs: set[str],
) -> None:
    before = find_fingerprint()
    after = find_fingerprint(**{name: training_inputs[name].model_copy(update=update)})

    assert {part for part in before if before[part] != after[part]} == differs


def test_a_training_is_told_from_others_by_its_words(
    find_fingerprint: Callable[..., dict[str, str]], training_inputs: dict[str, Any]
) -> None:
    before = find_fingerprint()
    letters = training_inputs["tokenizer"].vocabulary.words
    tokenizer = WordTokenizer(Vocabulary((*letters[:-1], "Z")))
    changes = {
        "tokenizer": tokenizer,
        "train_token_ids": training_inputs["train_token_ids"][:-1],
        "validation_token_ids": training_inputs["validation_token_ids"][:-1],
    }

    for name, changed in changes.items():
        after = find_fingerprint(**{name: changed})
        assert {part for part in before if before[part] != after[part]} == {name}


def test_a_training_is_told_from_others_by_where_it_starts(
    find_fingerprint: Callable[..., dict[str, str]],
    training_inputs: dict[str, Any],
    run: Callable[[], Outputs],
) -> None:
    first, _, _ = run()
    training_inputs |= {"champion": first, "params:retraining": WARM}
    second, _, _ = run()

    cold, *warm = [
        find_fingerprint(**{"champion": champion, "params:retraining": retraining})
        for champion, retraining in ((first, COLD), (first, WARM), (second, WARM))
    ]

    for before, after in ((cold, warm[0]), (warm[0], warm[1])):
        assert {part for part in before if before[part] != after[part]} == {"start"}


def test_a_killed_training_goes_on(
    run: Callable[[], Outputs], training_inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_model, history, _ = run()
    training = training_inputs["params:training"].model_copy(update={"checkpoint_every_steps": 1})
    training_inputs["params:training"] = training
    log = training_inputs["training_log"]
    with monkeypatch.context() as patched:
        patched.setattr(log, "log_samples", raise_stopped)  # at the end of the first epoch, after step 3
        with pytest.raises(StoppedError):
            run()

    resumed_model, resumed_history, _ = run()

    assert log.formers == ["a list"]
    assert resumed_model == trained_model
    pd.testing.assert_frame_equal(resumed_history, history)


def raise_stopped(*_: object) -> None:
    raise StoppedError


def test_discard_checkpoints_leaves_none(run: Callable[[], Outputs], training_inputs: dict[str, Any]) -> None:
    training = training_inputs["params:training"].model_copy(update={"checkpoint_every_steps": 1})
    training_inputs["params:training"] = training
    trained_model, _, _ = run()

    discard_checkpoints(trained_model, training_inputs["checkpoints"])
    run()

    assert training_inputs["training_log"].formers == []


@pytest.mark.parametrize(
    ("optimizer", "is_equal"),
    [({}, True), ({"decay": "cosine"}, False), ({"decay": "cosine", "decay_steps": 9}, True)],
)
def test_limits_decide_the_outcome_where_the_learning_rate_ends_with_them(
    training_inputs: dict[str, Any], optimizer: dict[str, Any], is_equal: bool
) -> None:
    training = training_inputs["params:training"]
    training = training.model_copy(update={"optimizer": training.optimizer.model_copy(update=optimizer)})

    assert (
        describe_training(training) == describe_training(training.model_copy(update={"max_steps": 400}))
    ) is is_equal
