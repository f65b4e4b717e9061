import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from minigpt_pipeline.comparison.model_run import ModelRun
from minigpt_pipeline.comparison.tables import (
    TOKENIZATION,
    MetricRow,
    compare_metrics,
    compare_parameters,
    compare_texts,
    compares_characters,
    describe_common_settings,
    find_incomparable,
)

MakeRun = Callable[..., ModelRun]
MakeSample = Callable[..., dict[str, Any]]


def best_of(rows: Sequence[MetricRow]) -> dict[str, list[int]]:
    """Return the numbers of the runs that are marked, by metric."""
    return {
        row.name: [number for number, figure in enumerate(row.figures, start=1) if figure and figure.is_best]
        for row in rows
    }


def test_compare_parameters_tells_those_that_differ(make_run: MakeRun) -> None:
    first = make_run(parameters={"model.num_heads": "2", "training.seed": "42"})
    second = make_run(parameters={"model.num_heads": "4", "training.seed": "42", "model.new": "1"})

    differing, equal = compare_parameters([first, second])

    assert differing == {"model.new": [None, "1"], "model.num_heads": ["2", "4"]}
    assert equal == {"training.seed": "42"}


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("test/loss", [2]),
        ("test/excess_loss", [2]),
        ("val/perplexity", [2]),
        ("test/bits_per_byte", [2]),
        ("train/tokens_per_second", [1]),
        ("test/unk_rate", []),
        ("test/source_loss", []),
        ("gen/distinct_2", []),
        ("gen/kneser_ney_perplexity", []),
        ("train/learning_rate", []),
    ],
)
def test_compare_metrics_marks_the_best_where_the_direction_is_known(
    make_run: MakeRun, name: str, best: list[int]
) -> None:
    runs = [make_run(metrics={name: value}) for value in (3.0, 2.0, math.nan)]

    assert best_of(compare_metrics(runs)) == {name: best}


def test_compare_metrics_marks_nothing_where_all_are_equal_or_alone(make_run: MakeRun) -> None:
    assert best_of(compare_metrics([make_run(metrics={"test/loss": 2.0}) for _ in range(2)])) == {
        "test/loss": []
    }
    assert best_of(compare_metrics([make_run(metrics={"test/loss": 2.0}), make_run()])) == {"test/loss": []}


def test_compare_metrics_gives_differences_from_the_first_run(make_run: MakeRun) -> None:
    (row,) = compare_metrics([make_run(metrics={"test/loss": value}) for value in (2.0, 1.5)] + [make_run()])

    first, second, third = row.figures
    assert first is not None
    assert first.difference is None
    assert second is not None
    assert second.difference == -0.5
    assert third is None


def test_compare_metrics_puts_intervals_beside_their_metric(make_run: MakeRun) -> None:
    metrics = {
        "test/perplexity": 96.5,
        "test/perplexity_low": 95.0,
        "test/perplexity_high": 98.0,
        "test/too_low": 1.0,
    }

    rows = compare_metrics([make_run(metrics=metrics), make_run(metrics={"test/perplexity": 97.0})])

    assert [row.name for row in rows] == ["test/perplexity", "test/too_low"]
    assert [(figure.low, figure.high) for figure in rows[0].figures if figure] == [(95.0, 98.0), (None, None)]


def test_compare_metrics_shows_the_loss_of_the_weights_that_were_kept(make_run: MakeRun) -> None:
    run = make_run(
        metrics={"val/loss": 3.0, "gen/words": 1.0, "test/loss": 2.5, "train/loss": 2.0, "new": 0.0},
        curves={"val/loss": [(1, 4.0), (2, 2.0), (3, math.nan), (4, 3.0)]},
    )

    rows = {row.name: row.figures[0] for row in compare_metrics([run])}

    assert list(rows) == ["test/loss", "val/loss", "val/loss, lowest", "gen/words", "train/loss", "new"]
    lowest = rows["val/loss, lowest"]
    assert lowest is not None
    assert lowest.value == 2.0


@pytest.mark.parametrize(
    ("data", "reasons"),
    [
        ("test_token_ids", {"test": ["test_token_ids"], "gen": ["test_token_ids"]}),
        ("validation_token_ids", {"val": ["validation_token_ids"]}),
        ("train_token_ids", {"gen": ["train_token_ids"], "train": ["train_token_ids"]}),
        ("other", {}),
    ],
)
def test_figures_of_other_data_are_not_compared(
    make_run: MakeRun, data: str, reasons: dict[str, list[str]]
) -> None:
    metrics = {"test": "test/loss", "val": "val/loss", "gen": "gen/distinct_2", "train": "train/loss"}
    runs = [
        make_run(metrics=dict.fromkeys(metrics.values(), value), data_digests={data: digest})
        for value, digest in ((2.0, "0a"), (1.0, "0b"))
    ] + [make_run()]  # one that failed before it read its data

    assert find_incomparable(runs) == reasons
    rows = compare_metrics(runs)
    assert best_of(rows) == {
        name: [] if group in reasons or group == "gen" else [2] for group, name in metrics.items()
    }
    differences = {row.name: figure.difference for row in rows if (figure := row.figures[1])}
    assert differences == {name: None if group in reasons else -1.0 for group, name in metrics.items()}


@pytest.mark.parametrize(
    ("words", "groups"),
    [
        ((99.0, 99.0), ["train"]),
        ((99.0, 98.0), ["test", "val", "train"]),
        ((99.0, None), ["test", "val", "train"]),
        ((None, None), ["test", "val", "train"]),
    ],
)
def test_figures_of_other_contexts_are_compared_where_the_words_are_as_many(
    make_run: MakeRun, words: tuple[float | None, ...], groups: list[str]
) -> None:
    runs = [
        make_run(
            parameters={"model.sequence_length": length},
            metrics={"test/words": number} if number else {},
        )
        for length, number in zip(("16", "80"), words, strict=True)
    ]

    assert find_incomparable(runs) == {group: ["model.sequence_length"] for group in groups}


@pytest.mark.parametrize(
    ("first", "second", "reasons"),
    [
        ({"model.dropout": "0.0"}, {"model.dropout": "0.1"}, {"train": ["model.dropout"]}),
        (
            {"model.dropout": "0.0", "training.sequences": "packed"},
            {"model.dropout": "0.1", "training.sequences": "truncated"},
            {"train": ["model.dropout and training.sequences"]},
        ),
        (
            {"generation.sampling.min_p": "0.05"},
            {"generation.sampling.min_p": "null"},
            {"gen": ["generation.sampling.min_p"]},
        ),
        (  # an older run doesn't name what was off
            {"generation.sampling.min_p": "0.05", "generation.sampling.top_p": "null"},
            {"generation.sampling.top_k": "null"},
            {"gen": ["generation.sampling.min_p"]},
        ),
        (
            {"generation.quality_texts": "9"},
            {"generation.quality_texts": "8"},
            {"gen": ["generation.quality_texts"]},
        ),
        ({"generation.sampling.top_k": "10", "model.dropout": "0.1"}, {}, {}),  # it is known of one alone
        (
            {"generation.seeds": "[0]", "training.seed": "1"},
            {"generation.seeds": "[1]", "training.seed": "2"},
            {},
        ),
    ],
)
def test_figures_of_other_settings_are_not_compared(
    make_run: MakeRun, first: dict[str, str], second: dict[str, str], reasons: dict[str, list[str]]
) -> None:
    metrics = {"test": "test/loss", "val": "val/loss", "gen": "gen/distinct_2", "train": "train/perplexity"}
    runs = [
        make_run(parameters=parameters, metrics=dict.fromkeys(metrics.values(), value))
        for parameters, value in ((first, 2.0), (second, 1.0))
    ]

    assert find_incomparable(runs) == reasons
    differences = {row.name: figure.difference for row in compare_metrics(runs) if (figure := row.figures[1])}
    assert differences == {name: None if group in reasons else -1.0 for group, name in metrics.items()}


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (("word", "20000"), ("word", "20000"), None),
        (("word", "20000"), ("subword", "20000"), "vectorization.tokenizer"),
        (("word", "20000"), ("word", "5000"), "vectorization.vocabulary_size"),
        (("word", "9"), ("subword", "300"), "vectorization.tokenizer and vectorization.vocabulary_size"),
    ],
)
def test_of_other_tokens_only_bits_per_character_are_compared(
    make_run: MakeRun, first: tuple[str, str], second: tuple[str, str], named: str | None
) -> None:
    names = ["test/bits_per_character", "test/loss", "val/perplexity", "train/loss"]
    runs = [
        make_run(
            parameters=dict(zip(TOKENIZATION, tokenization, strict=True)),
            metrics=dict.fromkeys(names, value) | {"test/characters": 999.0},
            data_digests={"test_token_ids": "/".join(tokenization)},
        )
        for tokenization, value in ((first, 2.0), (second, 1.0))
    ]

    assert find_incomparable(runs) == (
        {group: [named] for group in ("test", "val", "gen", "train")} if named else {}
    )
    best = best_of(compare_metrics(runs))
    assert {name: best[name] for name in names} == {name: [] if named else [2] for name in names} | {
        "test/bits_per_character": [2]
    }


@pytest.mark.parametrize("lengths", [(999.0, 998.0), (999.0, None), (None, None)])
def test_bits_per_character_of_other_texts_are_not_compared(
    make_run: MakeRun, lengths: tuple[float | None, float | None]
) -> None:
    runs = [
        make_run(
            parameters={"vectorization.tokenizer": tokenizer},
            metrics={"test/bits_per_character": value} | ({"test/characters": length} if length else {}),
        )
        for tokenizer, value, length in zip(("word", "subword"), (2.0, 1.0), lengths, strict=True)
    ]

    assert not compares_characters(runs)
    assert best_of(compare_metrics(runs))["test/bits_per_character"] == []


def test_compare_texts_puts_equal_prompts_and_seeds_beside_each_other(
    make_run: MakeRun, make_sample: MakeSample
) -> None:
    first = make_run(
        samples=[
            make_sample(epoch=2, text="the last"),
            make_sample(epoch=1, text="the first"),
            make_sample(seed=1, text="the other"),
        ]
    )
    second = make_run(samples=[make_sample(text="the second"), make_sample(prompt="a", text="a film")])

    prompts = compare_texts([first, second, make_run()])

    assert {prompt: [(row.seed, row.texts) for row in rows] for prompt, rows in prompts.items()} == {
        "the": [(0, ["the last", "the second", None]), (1, ["the other", None, None])],
        "a": [(0, [None, "a film", None])],
    }


def test_compare_texts_shows_texts_as_people_read_them(make_run: MakeRun, make_sample: MakeSample) -> None:
    new = make_run(samples=[make_sample(readable_text="The end.")])
    old = make_run(samples=[make_sample(readable_text=None)])

    ((row,),) = compare_texts([new, old, make_run(samples=[make_sample()])]).values()

    assert row.texts == ["The end.", "the end", "the end"]


def test_texts_of_other_settings_are_not_put_beside_each_other(
    make_run: MakeRun, make_sample: MakeSample
) -> None:
    runs = [make_run(samples=[make_sample(temperature=value)]) for value in (1.0, 0.5)]

    (rows,) = compare_texts(runs).values()

    assert [(row.settings, row.texts) for row in rows] == [
        ("temperature 1, top-k 10", ["the end", None]),
        ("temperature 0.5, top-k 10", [None, "the end"]),
    ]
    assert describe_common_settings(runs) is None
    assert describe_common_settings(runs[:1]) == "temperature 1, top-k 10"


@pytest.mark.parametrize(
    "name", ["temperature", "top_k", "top_p", "min_p", "repetition_penalty", "no_repeat_ngram_size"]
)
def test_each_setting_tells_texts_apart(make_run: MakeRun, make_sample: MakeSample, name: str) -> None:
    usual, other = make_sample(text="usual"), make_sample(text="other", **{name: 2.0})
    runs = [make_run(samples=[usual, other]), make_run(samples=[usual])]

    (rows,) = compare_texts(runs).values()

    assert [row.texts for row in rows] == [["usual", "usual"], ["other", None]]
    assert f"{name.replace('_', '-')} 2" in rows[1].settings
    assert describe_common_settings(runs) is None


def test_a_setting_that_an_older_run_does_not_name_was_off(
    make_run: MakeRun, make_sample: MakeSample
) -> None:
    runs = [make_run(samples=[make_sample(min_p=None)]), make_run(samples=[make_sample()])]

    ((row,),) = compare_texts(runs).values()

    assert row.texts == ["the end", "the end"]
