"""Every rule between parameters, and what it says when it is broken."""

from typing import Any

import pytest
from pydantic import ValidationError

from minigpt_pipeline import parameters

MODEL = {
    "sequence_length": 8,
    "embed_dim": 12,
    "num_heads": 3,
    "head_dim": None,
    "feed_forward_dim": 8,
    "num_blocks": 1,
    "dropout": 0.1,
}
SPLIT = {"train": 0.9, "validation": 0.05, "test": 0.05}
SEARCHED = {"name": "training.optimizer.learning_rate", "low": 0.001, "high": 0.01}
TRIAL = {"max_steps": None, "max_minutes": 12, "evaluate_every_steps": 100, "timed_steps": None}
SWEEP = {
    "seed": 42,
    "max_minutes": 60,
    "max_trials": 9,
    "random_trials": 2,
    "trial": TRIAL,
    "pruning": None,
    "space": [SEARCHED],
}
COMPUTE = {"device": "auto", "precision": "float32", "memory_growth": True, "deterministic": True}
SAMPLING = {"temperature": 1.0, "top_k": 10, "top_p": None, "max_new_tokens": 5, "stop_token": None}


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        (
            "ModelParameters",
            MODEL | {"num_heads": 5},
            "embed_dim=12 is not divisible by num_heads=5: change one of them",
        ),
        (
            "ModelParameters",
            MODEL | {"positions": "rotary", "head_dim": 5},
            "positions=rotary rotates pairs of a head's columns, and heads of width 5 don't pair: change head_dim",
        ),
        (
            "ModelParameters",
            MODEL | {"positions": "rotary", "num_heads": 4},
            "heads of width 3 don't pair",
        ),
        ("ModelParameters", MODEL | {"normalization": "none"}, "normalization\n.*'post' or 'pre'"),
        ("ModelParameters", MODEL | {"dropout": 1.0}, "dropout\n.*less than 1"),
        ("ModelParameters", MODEL | {"heads": 3}, "heads\n.*not permitted"),
        (
            "VectorizationParameters",
            {"tokenizer": "subword", "vocabulary_size": 256, "min_words": 9, "split": SPLIT},
            "vocabulary_size=256 has no room .*tokenizer=subword begins with: expected at least 257",
        ),
        (
            "VectorizationParameters",
            {"tokenizer": "letters", "vocabulary_size": 256, "min_words": 9, "split": SPLIT},
            "tokenizer\n.*'word' or 'subword'",
        ),
        ("SplitParameters", {"train": 0.9, "validation": 0.2, "test": 0.1}, "sum to 1.2, not to 1"),
        (
            "GenerationParameters",
            {"prompts": ["the", " "], "seeds": [1], "sampling": SAMPLING},
            r"prompts\[1\]=' ' is blank",
        ),
        (
            "GenerationParameters",
            {"prompts": ["a"], "seeds": [1], "sampling": SAMPLING, "presets": {"bold": {"heat": 2.0}}},
            r"(?s)presets.bold=\{'heat': 2.0\} is no change of the sampling.*heat\n.*not permitted",
        ),
        (
            "GenerationParameters",
            {"prompts": ["a"], "seeds": [1], "sampling": SAMPLING, "quality_texts": 1},
            "quality_texts\n.*greater than or equal to 2",
        ),
        (
            "GenerationParameters",
            {"prompts": [], "seeds": [1], "sampling": SAMPLING},
            "prompts\n.*at least 1 item",
        ),
        (
            "GenerationParameters",
            {"prompts": ["a"], "seeds": [1, -1], "sampling": SAMPLING},
            "seeds.1\n.*greater than or equal to 0",
        ),
        ("SamplingParameters", SAMPLING | {"temperature": 1e39}, "temperature\n.*less than or equal to 100"),
        ("SamplingParameters", SAMPLING | {"stop_token": ""}, "stop_token\n.*at least 1 character"),
        ("SamplingParameters", SAMPLING | {"top_k": 0}, "top_k\n.*greater than or equal to 1"),
        ("SamplingParameters", SAMPLING | {"top_p": 0.0}, "top_p\n.*greater than 0"),
        ("SamplingParameters", SAMPLING | {"top_p": 1.1}, "top_p\n.*less than or equal to 1"),
        ("SamplingParameters", SAMPLING | {"min_p": 0.0}, "min_p\n.*greater than 0"),
        ("SamplingParameters", SAMPLING | {"min_p": 1.5}, "min_p\n.*less than or equal to 1"),
        (
            "SamplingParameters",
            SAMPLING | {"repetition_penalty": 0.9},
            "repetition_penalty\n.*greater than or equal to 1",
        ),
        (
            "SamplingParameters",
            SAMPLING | {"repetition_penalty": float("inf")},
            "repetition_penalty\n.*finite number",
        ),
        (
            "SamplingParameters",
            SAMPLING | {"no_repeat_ngram_size": 0},
            "no_repeat_ngram_size\n.*greater than or equal to 1",
        ),
        (
            "SamplingParameters",
            SAMPLING | {"stop_at_end_of_review": "when it likes"},
            "stop_at_end_of_review\n.*valid boolean",
        ),
        ("SamplingParameters", SAMPLING | {"temperature": -1}, "temperature\n.*greater than or equal to 0"),
        (
            "SearchedParameter",
            SEARCHED | {"name": "model.heads"},
            "'model.heads' is no parameter of model or training: see .*parameters_training.yml",
        ),
        (
            "SearchedParameter",
            SEARCHED | {"name": "training.optimizer"},
            "'training.optimizer' is no parameter",
        ),
        ("SearchedParameter", SEARCHED | {"name": "model"}, "'model' is no parameter"),
        ("SearchedParameter", SEARCHED | {"name": "sampling.top_k"}, "'sampling.top_k' is no parameter"),
        (
            "SearchedParameter",
            SEARCHED | {"name": "training.seed"},
            "training.seed is a limit of every trial and can't be searched: see sweep.trial",
        ),
        (
            "SearchedParameter",
            {"name": "model.num_heads"},
            "model.num_heads needs either choices, or low and high",
        ),
        ("SearchedParameter", SEARCHED | {"choices": [0.1]}, "needs either choices, or low and high"),
        ("SearchedParameter", SEARCHED | {"high": None}, "needs either choices, or low and high"),
        (
            "SearchedParameter",
            {"name": "model.num_heads", "choices": [2], "low": 1},
            "needs either choices, or low and high",
        ),
        ("SearchedParameter", {"name": "model.num_heads", "choices": []}, "choices\n.*at least 1 item"),
        ("SearchedParameter", SEARCHED | {"low": 0.1}, "low=0.1 is larger than high=0.01"),
        (
            "SearchedParameter",
            SEARCHED | {"low": 0, "log": True},
            r"log=true needs low > 0 \(now 0\) and no step",
        ),
        (
            "SearchedParameter",
            SEARCHED | {"step": 0.002, "log": True},
            r"log=true needs low > 0 \(now 0.001\) and no step \(now 0.002\)",
        ),
        ("SearchedParameter", SEARCHED | {"step": 0}, "step\n.*greater than 0"),
        (
            "TrialParameters",
            TRIAL | {"max_minutes": None},
            "A trial without max_steps and max_minutes is a whole training: .*parameters_sweep.yml",
        ),
        (
            "TrialParameters",
            TRIAL | {"max_steps": 10, "max_minutes": None, "timed_steps": 20},
            "timed_steps=20 needs max_minutes: set both, or neither",
        ),
        ("TrialParameters", TRIAL | {"max_steps": 0}, "max_steps\n.*greater than or equal to 1"),
        ("TrialParameters", TRIAL | {"max_minutes": 0}, "max_minutes\n.*greater than 0"),
        (
            "TrialParameters",
            TRIAL | {"evaluate_every_steps": 0},
            "evaluate_every_steps\n.*greater than or equal to 1",
        ),
        ("TrialParameters", TRIAL | {"timed_steps": 1}, "timed_steps\n.*greater than or equal to 2"),
        (
            "PruningParameters",
            {"first_trials": 0, "first_share": 0.3},
            "first_trials\n.*greater than or equal to 1",
        ),
        (
            "PruningParameters",
            {"first_trials": 1, "first_share": 1.5},
            "first_share\n.*less than or equal to 1",
        ),
        ("SweepParameters", SWEEP | {"seed": -1}, "seed\n.*greater than or equal to 0"),
        ("SweepParameters", SWEEP | {"max_minutes": 0}, "max_minutes\n.*greater than 0"),
        ("SweepParameters", SWEEP | {"max_trials": 0}, "max_trials\n.*greater than or equal to 1"),
        ("SweepParameters", SWEEP | {"random_trials": -1}, "random_trials\n.*greater than or equal to 0"),
        ("SweepParameters", SWEEP | {"space": []}, "space\n.*at least 1 item"),
        (
            "SweepParameters",
            SWEEP | {"max_minutes": 10},
            "max_minutes=10 has no room for a trial of max_minutes=12, .*parameters_sweep.yml",
        ),
        (
            "SweepParameters",
            SWEEP | {"max_minutes": 12},
            "max_minutes=12 has no room for a trial of max_minutes=12, which takes a little longer",
        ),
        (
            "SweepParameters",
            SWEEP | {"space": [SEARCHED, SEARCHED]},
            "The space names training.optimizer.learning_rate twice: conf/base/parameters_sweep.yml",
        ),
        (
            "ComparisonParameters",
            {"runs": 12345678, "texts_per_prompt": 3},
            "runs=12345678 was read as a number: put the beginning of the id in quotes",
        ),
        (
            "ComputeSettings",
            COMPUTE | {"device": "tpu"},
            "device\n.*'auto', 'cpu' or 'gpu'",
        ),
        (
            "ComputeSettings",
            COMPUTE | {"memory_limit_mb": 4000},
            "memory_limit_mb=4000 is taken at the start, and memory_growth=true as it is needed: set memory_growth to",
        ),
        *(
            (
                "ComputeSettings",
                COMPUTE | wrong,
                r"visible_devices=\[.*\] are numbers of GPUs, each once, for device=auto or gpu \(now (auto|cpu)\)",
            )
            for wrong in (
                {"visible_devices": [1, 1]},
                {"visible_devices": []},
                {"device": "cpu", "visible_devices": [0]},
            )
        ),
    ],
)
def test_a_broken_rule_is_named(model: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        getattr(parameters, model)(**values)


def test_the_values_that_rows_begin_with_break_no_rule() -> None:
    """Else a row could be refused for another reason than its own."""
    assert parameters.SweepParameters(**SWEEP).space == [parameters.SearchedParameter(**SEARCHED)]
    assert parameters.ComputeSettings(**COMPUTE).strategy == "one_device"


def test_a_head_width_of_its_own_needs_no_division() -> None:
    assert parameters.ModelParameters(**MODEL | {"num_heads": 5, "head_dim": 7}).head_dim == 7


def test_a_preset_changes_what_it_names() -> None:
    presets = {"as it is": {}, "careful": {"temperature": 0.5, "top_k": None}}
    values = {"prompts": ["a"], "seeds": [1], "sampling": SAMPLING, "presets": presets}
    generation = parameters.GenerationParameters(**values)

    assert generation.preset("as it is") == generation.sampling
    assert generation.preset("careful").model_dump() == generation.sampling.model_dump() | presets["careful"]


@pytest.mark.parametrize("name", ["text_length", "positive_share"])
def test_bounds_are_ordered(name: str) -> None:
    bounds = {
        "min_reviews": 1,
        "min_text_length": 1,
        "max_text_length": 9,
        "max_rejected_share": 0.1,
        "max_duplicate_share": 0.1,
        "min_positive_share": 0.1,
        "max_positive_share": 0.9,
        "max_non_ascii_share": 0.1,
        "max_markup_share": 0.1,
    }
    low, high = bounds[f"max_{name}"], bounds[f"min_{name}"]

    with pytest.raises(ValidationError, match=f"min_{name}={low} is larger than max_{name}={high}"):
        parameters.ValidationParameters(**bounds | {f"min_{name}": low, f"max_{name}": high})


def test_parameters_are_frozen() -> None:
    model = parameters.ModelParameters(**MODEL)

    with pytest.raises(ValidationError, match="frozen"):
        model.embed_dim = 24  # type: ignore[misc]
