from pathlib import Path

import numpy as np
import pandas as pd
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
from minigpt_pipeline.text.vocabulary import Vocabulary

WORDS = Vocabulary(("", "[UNK]", "the", "film", "is", "fine", "."))


@pytest.fixture
def generated(tmp_path: Path) -> pd.DataFrame:
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
    )
    history = pd.DataFrame({"step": [1], "epoch": [1], "name": ["train/loss"], "value": [1.0]})
    compute = ComputeSettings(device="cpu", precision="float32", memory_growth=True, deterministic=True)
    trained_model = TrainedModel.from_model(create_model(sizes, len(WORDS)), WORDS, {"epochs": 2})
    inputs = {
        "trained_model": trained_model,
        "params:generation": generation,
        "compute": compute,
        "training_history": history,
    }
    catalog = DataCatalog({name: MemoryDataset(value, copy_mode="assign") for name, value in inputs.items()})
    saved = TableDataset(filepath=str(tmp_path / "generated_samples.parquet"))
    catalog["generated_samples"] = saved
    plots = SequentialRunner().run(create_pipeline(), catalog)
    assert plots.keys() == {"samples_plot", "loss_plot"}
    return saved.load()


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
