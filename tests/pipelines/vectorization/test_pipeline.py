import pandas as pd
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from minigpt_pipeline.parameters import SplitParameters, VectorizationParameters
from minigpt_pipeline.pipelines.vectorization import create_pipeline


def test_vectorization_gives_a_vocabulary_and_three_parts(reviews: pd.DataFrame) -> None:
    vectorization = VectorizationParameters(
        vocabulary_size=30, min_words=5, split=SplitParameters(train=0.4, validation=0.3, test=0.3)
    )
    outputs = ["review_words", "vocabulary", "train_token_ids", "validation_token_ids", "test_token_ids"]
    catalog = DataCatalog(
        {"reviews": MemoryDataset(reviews), "params:vectorization": MemoryDataset(vectorization)}
        | {name: MemoryDataset() for name in outputs}
    )

    SequentialRunner().run(create_pipeline(), catalog)

    assert sum(len(catalog.load(name)) for name in outputs[2:]) == len(reviews)
