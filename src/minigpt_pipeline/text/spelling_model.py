"""How words outside the vocabulary are spelled, to compare a loss in words with one in bytes or characters.

A word model says how likely `[UNK]` is. The word itself is then one of many, and with p(spelling | `[UNK]`) the whole
text has a probability. A model of byte-level tokens gives every text a probability too: both per character are one
measure.

A spelling is a sequence of characters with an end, which `kneser_ney` predicts from the characters before. Three
things make p a distribution over all non-empty strings of Unicode's 1,114,112 code points:

- The end can't come first: the probabilities of the first character are divided by 1 - p(end | beginning).
- Characters that no word was trained on share one symbol, which was never seen: it has what the uniform distribution
  below the single characters gives it. Each of them gets an equal part.
- The end has a positive probability after every string, so that nothing is lost to spellings without an end.

Words of the vocabulary have their part of it, though `[UNK]` never stands for one: measured so, a word model with
`[UNK]` is a little worse than it could be, and never better than it is.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.text.kneser_ney import NgramModel, train_ngram_model

END_ID = 1
UNSEEN_ID = 2
FIRST_CHARACTER_ID = 3

NUM_CODE_POINTS = sys.maxunicode + 1


@dataclass(frozen=True, eq=False)
class SpellingModel:
    """Knows how likely a word outside the vocabulary is spelled one way or another.

    Args:
        code_points: uint32, (num_characters,), of the characters that it was trained on; the first has the id
            `FIRST_CHARACTER_ID`.
        ngrams: Over characters, `END_ID` and `UNSEEN_ID`.
    """

    code_points: pa.Array
    ngrams: NgramModel

    def surprisals(self, words: Sequence[str]) -> np.ndarray:
        """Return -log p(spelling | `[UNK]`) of each word, float64, (num_words,), in nats; finite for every word.

        Raises:
            ValueError: If a word is empty.
        """
        spellings = _spell(words, self.code_points)
        scored = (
            self.ngrams.log_probabilities_of_lists(pa.table({"token_ids": spellings})).flatten().to_numpy()
        )
        is_unseen = spellings.flatten().to_numpy() == UNSEEN_ID  # (num_symbols,)
        shared = np.where(is_unseen, math.log(NUM_CODE_POINTS - len(self.code_points)), 0.0)
        starts = spellings.offsets.to_numpy()[:-1]  # (num_words,)
        end_first = self.ngrams.log_probabilities(np.array([[END_ID]]))[0, 0]
        surprisals: np.ndarray = np.add.reduceat(shared - scored, starts) + math.log1p(-math.exp(end_first))
        return surprisals


def train_spelling_model(counts: pa.Table, order: int = 10) -> SpellingModel:
    """Learn how words are spelled.

    Args:
        counts: Columns `word` and `count`, int64, as `vocabulary.count_words` gives them: the training words that are
            outside the vocabulary, which may be none.
        order: Symbols of the longest n-grams to count, beginning and end among them; 10 spells held-out words of the
            real reviews in 12.9 nats, 6 in 13.7.

    Raises:
        ValueError: If a word is empty.
    """
    words = counts["word"].to_pylist()
    code_points = pa.array(np.unique(_to_code_points(words)))
    spellings = _spell(words, code_points)
    repeated = spellings.take(pa.array(np.repeat(np.arange(len(words)), counts["count"].to_numpy())))
    vocabulary_size = FIRST_CHARACTER_ID + len(code_points)
    return SpellingModel(
        code_points, train_ngram_model(pa.table({"token_ids": repeated}), vocabulary_size, order)
    )


def _spell(words: Sequence[str], code_points: pa.Array) -> pa.ListArray:
    """Return the ids of the characters of each word and of its end, list of int32, (num_words,)."""
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    if not lengths.all():
        raise ValueError(
            f"Word {int(np.argmin(lengths))} of {len(words)} is empty: a spelling has characters"
        )
    places = pc.index_in(pa.array(_to_code_points(words)), value_set=code_points)  # null where unseen
    ids = pc.add(pc.fill_null(places, UNSEEN_ID - FIRST_CHARACTER_ID), FIRST_CHARACTER_ID)
    symbols = np.insert(ids.to_numpy().astype(np.int32), np.cumsum(lengths), END_ID)
    offsets = np.concatenate([[0], np.cumsum(lengths + 1)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(symbols))


def _to_code_points(words: Sequence[str]) -> np.ndarray:
    """Return the code points of all words, uint32, (num_characters,)."""
    return np.frombuffer("".join(words).encode("utf-32-le", "surrogatepass"), np.uint32)
