"""From an archive to a table of reviews."""

from collections.abc import Iterable

import pandas as pd

from minigpt_pipeline.parameters import IngestionParameters
from minigpt_pipeline.text.imdb import ArchiveMember, parse_reviews


def read_reviews(reviews_archive: Iterable[ArchiveMember], ingestion: IngestionParameters) -> pd.DataFrame:
    """Read the reviews of an archive.

    Args:
        reviews_archive: The files of the archive, in any order; they are read once and not kept.
        ingestion: Whether unlabelled reviews are read too.

    Returns:
        One row a review, as `text.imdb.parse_reviews` describes.

    Raises:
        ValueError: If there is no review in the archive, or a review is not UTF-8.
    """
    return parse_reviews(reviews_archive, ingestion.include_unlabelled)
