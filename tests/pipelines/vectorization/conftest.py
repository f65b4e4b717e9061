import pandas as pd
import pyarrow as pa
import pytest

from minigpt_pipeline.parameters import SplitParameters, VectorizationParameters


@pytest.fixture
def vectorization() -> VectorizationParameters:
    """Its shares send the three films of the reviews to three parts."""
    return VectorizationParameters(
        vocabulary_size=20, min_words=5, split=SplitParameters(train=0.4, validation=0.3, test=0.3)
    )


@pytest.fixture
def pieces(reviews: pd.DataFrame) -> list[pa.RecordBatch]:
    """The six reviews in three pieces."""
    return pa.Table.from_pandas(reviews).to_batches(max_chunksize=2)
