"""From an archive, or files of one's own, to a table of reviews."""

import logging
from collections.abc import Iterable

import pandas as pd

from minigpt_pipeline.parameters import IngestionParameters
from minigpt_pipeline.text.documents import parse_documents
from minigpt_pipeline.text.imdb import ArchiveMember, parse_reviews

logger = logging.getLogger(__name__)


def read_reviews(
    reviews_archive: Iterable[ArchiveMember], new_reviews: pd.DataFrame, ingestion: IngestionParameters
) -> pd.DataFrame:
    """Read the reviews of an archive, or the documents of a folder, and add those that came later.

    Args:
        reviews_archive: The files, in any order; they are read once and not kept.
        new_reviews: The reviews of all accepted batches of new data; texts that are there already are left out.
        ingestion: Whether they lie as the IMDb reviews do, and what is read of them.

    Returns:
        One row a review, as `text.imdb.parse_reviews` describes.

    Raises:
        ValueError: If there is no review, or a file can't be read.
    """
    if ingestion.documents is None:
        reviews = parse_reviews(reviews_archive, ingestion.include_unlabelled)
    else:
        reviews = parse_documents(reviews_archive, ingestion.documents)
    return reviews if new_reviews.empty else _add_reviews(reviews, new_reviews)


def _add_reviews(reviews: pd.DataFrame, new_reviews: pd.DataFrame) -> pd.DataFrame:
    is_new = ~new_reviews["text"].isin(set(reviews["text"])) & ~new_reviews["text"].duplicated()
    logger.info("%s reviews of new data, %s of them new", f"{len(is_new):,}", f"{is_new.sum():,}")
    together = pd.concat([reviews, new_reviews[is_new]], ignore_index=True)
    return together.sort_values("review_id", kind="stable", ignore_index=True)
