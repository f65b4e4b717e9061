import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from minigpt_pipeline.expectations.report import ReviewsRefusedError
from minigpt_pipeline.parameters import ValidationParameters
from minigpt_pipeline.pipelines.validation import create_pipeline

OUTPUTS = ("checked_reviews", "rejected_reviews", "validation_report", "validation_data_docs", "reviews")


@pytest.fixture
def catalog(reviews: pd.DataFrame) -> DataCatalog:
    bounds = ValidationParameters(
        min_reviews=6,
        min_text_length=5,
        max_text_length=500,
        max_rejected_share=0.2,
        max_duplicate_share=0.2,
        min_positive_share=0.4,
        max_positive_share=0.6,
        max_non_ascii_share=0.1,
        max_markup_share=0.1,
    )
    inputs = {"raw_reviews": MemoryDataset(reviews), "params:validation": MemoryDataset(bounds)}
    return DataCatalog(inputs | {name: MemoryDataset() for name in OUTPUTS})


def test_pipeline_makes_reviews_of_a_good_batch(catalog: DataCatalog, reviews: pd.DataFrame) -> None:
    SequentialRunner().run(create_pipeline(), catalog)
    pd.testing.assert_frame_equal(catalog.load("reviews"), reviews)
    assert catalog.load("rejected_reviews").empty


def test_pipeline_saves_the_report_of_a_refused_batch_and_no_reviews(
    catalog: DataCatalog, reviews: pd.DataFrame
) -> None:
    catalog.save("raw_reviews", reviews.assign(split="dev"))
    with pytest.raises(ReviewsRefusedError, match="rejected_rows_are_few"):
        SequentialRunner().run(create_pipeline(), catalog)
    assert catalog.load("validation_report")["refused_by"] == ["rejected_rows_are_few"]
    assert "index.html" in catalog.load("validation_data_docs")
    assert catalog.load("rejected_reviews")["reason"].tolist() == ["unknown_split"] * 6
    assert not catalog.exists("reviews")


def test_pipeline_names_its_nodes_after_their_functions() -> None:
    assert [node.name for node in create_pipeline().nodes] == ["check_reviews", "accept_reviews"]
