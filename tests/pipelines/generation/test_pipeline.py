from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from minigpt_pipeline.datasets import TableDataset
from minigpt_pipeline.parameters import (
    ComputeSettings,
    GenerationParameters,
    ModelParameters,
    SamplingParameters,
)
from minigpt_pipeline.pipelines.generation import create_pipeline
from minigpt_pipeline.text.kneser_ney import train_ngram_model
from minigpt_pipeline.text.standardization import to_words
from minigpt_pipeline.text.token_tables import mark_tokens
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer

WORDS = Vocabulary(("", "[UNK]", "the", "film", "is", "fine", "."))


REVIEWS = pa.table(
    {
        "token_ids": pa.array([[2, 3, 4, 5, 6, 2, 3, 4], [3, 4, 2, 5, 6, 3, 3]], pa.list_(pa.int32())),
        "unknown_words": pa.array([[], []], pa.list_(pa.string())),
    }
)

Run = tuple[pd.DataFrame, pd.DataFrame, dict[str, float]]


def generate(folder: Path, quality_texts: int | None, **changed: pa.Table) -> Run:
    """Return `generated_samples`, `quality_texts` and `quality_metrics`; other inputs by name."""
    from minigpt_pipeline.model.mini_gpt import create_model
    from minigpt_pipeline.model.saved_model import TrainedModel

    sizes = ModelParameters(
        sequence_length=4,
        embed_dim=8,
        num_heads=2,
        head_dim=None,
        feed_forward_dim=8,
        num_blocks=1,
        dropout=0.0,
    )
    generation = GenerationParameters(
        prompts=["The film", "nosuchword is"],
        seeds=[3, 4],
        sampling=SamplingParameters(
            temperature=1.0,
            top_k=None,
            top_p=None,
            repetition_penalty=1.2,
            max_new_tokens=6,
            stop_token=None,
        ),
        quality_texts=quality_texts,
    )
    history = pd.DataFrame({"step": [1], "epoch": [1], "name": ["train/loss"], "value": [1.0]})
    compute = ComputeSettings(device="cpu", precision="float32", memory_growth=True, deterministic=True)
    trained_model = TrainedModel.from_model(
        create_model(sizes, len(WORDS)), WordTokenizer(WORDS), {"epochs": 2}
    )
    inputs = {
        "trained_model": trained_model,
        "params:generation": generation,
        "train_token_ids": REVIEWS,
        "test_token_ids": REVIEWS,
        "ngram_model": train_ngram_model(REVIEWS, len(WORDS)),
        "compute": compute,
        "training_history": history,
    }
    catalog = DataCatalog(
        {name: MemoryDataset(value, copy_mode="assign") for name, value in (inputs | changed).items()}
    )
    for name in ("generated_samples", "quality_texts"):
        catalog[name] = TableDataset(filepath=str(folder / f"{name}.parquet"))
    outputs = SequentialRunner().run(create_pipeline(), catalog)
    assert outputs.keys() == {"quality_texts", "quality_metrics", "samples_plot", "loss_plot"}
    metrics: dict[str, float] = outputs["quality_metrics"].load()
    return catalog.load("generated_samples"), catalog.load("quality_texts"), metrics


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return generate(tmp_path_factory.mktemp("generated"), quality_texts=5)


@pytest.fixture
def generated(run: Run) -> pd.DataFrame:
    return run[0]


def test_generation_writes_a_text_for_each_prompt_and_seed(generated: pd.DataFrame) -> None:
    assert generated[["prompt", "sample", "seed"]].to_numpy().tolist() == [
        ["The film", 0, 3],
        ["The film", 1, 4],
        ["nosuchword is", 0, 3],
        ["nosuchword is", 1, 4],
    ]
    assert generated["epoch"].eq(2).all()
    assert generated[["top_k", "top_p", "min_p", "no_repeat_ngram_size"]].isna().all(axis=None)
    assert generated["repetition_penalty"].eq(1.2).all()
    assert generated["ended"].eq(False).all()


def test_texts_begin_as_the_prompt_was_written_and_have_the_asked_length(generated: pd.DataFrame) -> None:
    for row in generated.itertuples():
        assert row.text.startswith(row.prompt + " ")
        new_words = row.text.removeprefix(row.prompt).split()
        assert len(new_words) == 6
        assert np.isin(new_words, WORDS.words[2:]).all()


def test_readable_texts_have_the_words_of_the_texts(run: Run) -> None:
    samples, quality_texts, _ = run

    for row in [*samples.itertuples(), *quality_texts.itertuples()]:
        assert to_words(row.readable_text) == to_words(row.text)
        assert row.readable_text[0].isupper()


def test_generation_measures_a_text_for_each_review_there_is(run: Run) -> None:
    _, quality_texts, metrics = run

    assert quality_texts[["prompt", "seed", "ended"]].to_numpy().tolist() == [
        ["the", 0, False],
        ["film", 1, False],
    ]
    assert metrics["gen/texts"] == 2
    assert (metrics["gen/mean_length"], metrics["gen/unk_rate"]) == (7, 0)
    assert "gen/copied_8gram_share" not in metrics  # of seven words there is no run of eight
    assert metrics["gen/human_kneser_ney_perplexity"] < metrics["gen/kneser_ney_perplexity"]
    assert {"gen/self_bleu_4", "gen/human_zipf_exponent", "gen/distinct_2_ratio"} <= metrics.keys()


def test_generation_measures_nothing_where_it_is_told_so(tmp_path: Path) -> None:
    samples, quality_texts, metrics = generate(tmp_path, quality_texts=None)

    assert len(samples) == 4
    assert quality_texts.empty
    assert metrics == {}


@pytest.mark.parametrize("part", ["train_token_ids", "test_token_ids"])
def test_texts_are_not_measured_beside_ids_of_another_tokenizer(tmp_path: Path, part: str) -> None:
    other = WordTokenizer(Vocabulary(("", "[UNK]", "other")))

    with pytest.raises(ValueError, match=f"are of tokenizer {other.digest}"):
        generate(tmp_path, 5, **{part: mark_tokens(REVIEWS, other)})
