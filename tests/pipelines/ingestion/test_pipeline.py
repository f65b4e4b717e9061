from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from minigpt_pipeline.parameters import IngestionParameters
from minigpt_pipeline.pipelines.ingestion import create_pipeline
from minigpt_pipeline.text.imdb import ArchiveMember


def test_ingestion_turns_an_archive_into_reviews() -> None:
    members = [
        ArchiveMember("aclImdb/train/pos/0_9.txt", b"Good."),
        ArchiveMember("aclImdb/train/unsup/0_0.txt", b"?"),
    ]
    catalog = DataCatalog(
        {
            "reviews_archive": MemoryDataset(members),
            "params:ingestion": MemoryDataset(IngestionParameters(include_unlabelled=True)),
            "raw_reviews": MemoryDataset(),
        }
    )

    SequentialRunner().run(create_pipeline(), catalog)

    assert catalog.load("raw_reviews")["review_id"].tolist() == ["train/pos/0", "train/unsup/0"]
