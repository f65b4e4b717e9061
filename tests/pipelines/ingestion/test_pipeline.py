import pandas as pd
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from minigpt_pipeline.parameters import IngestionParameters
from minigpt_pipeline.pipelines.ingestion import create_pipeline
from minigpt_pipeline.text.imdb import ArchiveMember, tabulate_reviews

MEMBERS = [
    ArchiveMember("aclImdb/train/pos/0_9.txt", b"Good."),
    ArchiveMember("aclImdb/train/unsup/0_0.txt", b"?"),
]


def ingest(new_reviews: pd.DataFrame) -> pd.DataFrame:
    catalog = DataCatalog(
        {
            "reviews_archive": MemoryDataset(MEMBERS),
            "new_reviews": MemoryDataset(new_reviews),
            "params:ingestion": MemoryDataset(IngestionParameters(include_unlabelled=True)),
            "raw_reviews": MemoryDataset(),
        }
    )
    SequentialRunner().run(create_pipeline(), catalog)
    reviews: pd.DataFrame = catalog.load("raw_reviews")
    return reviews


def test_ingestion_turns_an_archive_into_reviews() -> None:
    assert ingest(tabulate_reviews([]))["review_id"].tolist() == ["train/pos/0", "train/unsup/0"]


def test_new_reviews_are_added_but_for_texts_that_are_there() -> None:
    new = tabulate_reviews(
        ("new/aa/" + name, "train", "pos", 9, "tt1", text)
        for name, text in [("a#1", "Good."), ("a#2", "Fine."), ("b#1", "Fine."), ("b#2", "Bad.")]
    )
    before = new.copy()

    reviews = ingest(new)

    assert reviews["review_id"].tolist() == ["new/aa/a#2", "new/aa/b#2", "train/pos/0", "train/unsup/0"]
    assert reviews["movie_id"].tolist()[:2] == ["tt1", "tt1"]
    assert reviews.dtypes.to_dict() == ingest(tabulate_reviews([])).dtypes.to_dict()
    pd.testing.assert_frame_equal(new, before)
