import pandas as pd
import pyarrow as pa
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from minigpt_pipeline.parameters import VectorizationParameters
from minigpt_pipeline.pipelines.vectorization import create_pipeline


def test_vectorization_gives_a_tokenizer_and_three_parts(
    pieces: list[pa.RecordBatch], reviews: pd.DataFrame, vectorization: VectorizationParameters
) -> None:
    outputs = ["tokenizer", "train_token_ids", "validation_token_ids", "test_token_ids"]
    catalog = DataCatalog(
        {"reviews": MemoryDataset(pieces), "params:vectorization": MemoryDataset(vectorization)}
        | {name: MemoryDataset() for name in outputs}
    )

    SequentialRunner().run(create_pipeline(), catalog)

    assert sum(len(catalog.load(name)) for name in outputs[1:]) == len(reviews)
