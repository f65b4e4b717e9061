"""From an archive, or files of one's own, to a table of reviews."""

from collections.abc import Iterable

import pandas as pd

from minigpt_pipeline.parameters import IngestionParameters
from minigpt_pipeline.text.documents import parse_documents
from minigpt_pipeline.text.imdb import ArchiveMember, parse_reviews


def read_reviews(reviews_archive: Iterable[ArchiveMember], ingestion: IngestionParameters) -> pd.DataFrame:
    """Read the reviews of an archive, or the documents of a folder.

    Args:
        reviews_archive: The files, in any order; they are read once and not kept.
        ingestion: Whether they lie as the IMDb reviews do, and what is read of them.

    Returns:
        One row a review, as `text.imdb.parse_reviews` describes.

    Raises:
        ValueError: If there is no review, or a file can't be read.
    """
    if ingestion.documents is None:
        return parse_reviews(reviews_archive, ingestion.include_unlabelled)
    return parse_documents(reviews_archive, ingestion.documents)
