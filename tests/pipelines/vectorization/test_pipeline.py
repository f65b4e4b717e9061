from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from minigpt_pipeline.parameters import RetrainingParameters, VectorizationParameters
from minigpt_pipeline.pipelines.vectorization import create_pipeline

OF_CHAMPION = {
    "champion": None,
    "params:retraining": RetrainingParameters(refresh_vocabulary=False, warm_start=False),
}


@pytest.mark.parametrize(("keep_vocabulary", "more"), [(False, {}), (True, OF_CHAMPION)])
def test_vectorization_gives_a_tokenizer_and_three_parts(
    pieces: list[pa.RecordBatch],
    reviews: pd.DataFrame,
    vectorization: VectorizationParameters,
    keep_vocabulary: bool,
    more: dict[str, Any],
) -> None:
    outputs = ["tokenizer", "train_token_ids", "validation_token_ids", "test_token_ids"]
    catalog = DataCatalog(
        {"reviews": MemoryDataset(pieces), "params:vectorization": MemoryDataset(vectorization)}
        | {name: MemoryDataset() for name in outputs}
        | {name: MemoryDataset(value) for name, value in more.items()}
    )

    SequentialRunner().run(create_pipeline(keep_vocabulary), catalog)

    assert sum(len(catalog.load(name)) for name in outputs[1:]) == len(reviews)
