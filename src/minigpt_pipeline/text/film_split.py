"""Which films train the model and which only measure it."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.parameters import SplitParameters

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

UNLABELLED = r"^(new/[^/]+/)?train/unsup/"
"""How the ids of reviews begin that have neither label nor rating, also of new ones; a regular expression."""


def assign_part(film: str, shares: SplitParameters) -> Part:
    """Send a film to its part, for ever: the answer depends on nothing but the film and the shares.

    Args:
        film: The film's id; of a review without one, its text.
        shares: Parts of the unit interval; the film's hash, SHA-256 read as a fraction, falls into one of them.
    """
    digest = hashlib.sha256(film.encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64  # [0, 1)
    if position < shares.train:
        return "train"
    return "validation" if position < shares.train + shares.validation else "test"


def assign_parts(reviews: pa.RecordBatch, shares: SplitParameters) -> pa.StringArray:
    """Send each review to the part of its film.

    Args:
        reviews: Columns `movie_id` (null where the film is not known), `text`, and `review_id`; without it no review is
            an unlabelled one.
        shares: Shares of the films.

    Returns:
        string, (num_reviews,): `train`, `validation` or `test`; null for reviews of `train/unsup` whose film measures
        models. They only ever train, so that models are measured on the same reviews with and without them.
    """
    text = reviews["text"]
    films = pc.coalesce(reviews["movie_id"].cast(text.type), text).dictionary_encode()
    part_of_film = [assign_part(film, shares) for film in films.dictionary.to_pylist()]
    parts = pa.array(part_of_film, pa.string()).take(films.indices)
    if "review_id" not in reviews.schema.names:
        return parts
    is_unlabelled = pc.match_substring_regex(reviews["review_id"], UNLABELLED)
    return pc.if_else(pc.and_(is_unlabelled, pc.not_equal(parts, "train")), None, parts)


def keep_part(
    reviews: Iterable[pa.RecordBatch], part: Part, shares: SplitParameters
) -> Iterator[pa.RecordBatch]:
    """Leave out the reviews of other parts, and those without a text.

    Args:
        reviews: Columns as for `assign_parts`.
        part: Whose reviews are kept.
        shares: Shares of the films.
    """
    for piece in reviews:
        there = piece.filter(pc.is_valid(piece["text"]))
        yield there.filter(pc.equal(assign_parts(there, shares), part))
