"""From the text of reviews to token ids, a piece of the reviews at a time."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.parameters import SplitParameters
from minigpt_pipeline.text.film_split import PARTS, assign_parts
from minigpt_pipeline.text.standardization import split_words
from minigpt_pipeline.text.threads import map_in_order
from minigpt_pipeline.text.token_tables import mark_tokens
from minigpt_pipeline.text.tokenizer import Tokenizer


def encode_parts(
    reviews: Iterable[pa.RecordBatch], tokenizer: Tokenizer, shares: SplitParameters
) -> tuple[pa.Table, ...]:
    """Turn words into token ids, part by part.

    The words are split a second time: that is faster than to keep those of all reviews, on a disk or in memory.

    Args:
        reviews: Columns `review_id`, `movie_id`, `rating` and `text`.
        tokenizer: Gives words their ids.
        shares: Of the films.

    Returns:
        For `train`, `validation` and `test` a table with the columns `review_id`, `rating`, `token_ids` (list of
        int32, of all words of the review) and `unknown_words` (list of strings: those that `[UNK]` stands for, in
        their order), marked with its tokenizer. All reviews of a film are in one of them.
    """

    def encode(piece: pa.RecordBatch) -> list[pa.RecordBatch]:
        parts = assign_parts(piece, shares)
        words = split_words(piece["text"])
        token_ids = tokenizer.encode_lists(words)
        encoded = pa.record_batch(
            {
                "review_id": piece["review_id"].cast(pa.string()),
                "rating": piece["rating"].cast(pa.int8()),
                "token_ids": token_ids,
                "unknown_words": tokenizer.find_unknown_words(words, token_ids),
            }
        )
        return [encoded.filter(pc.equal(parts, part)) for part in PARTS]

    parts = zip(*map_in_order(encode, reviews), strict=True)
    return tuple(mark_tokens(pa.Table.from_batches(part), tokenizer) for part in parts)
