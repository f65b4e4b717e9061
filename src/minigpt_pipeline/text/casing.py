"""In which case people write words, learnt from their texts.

A word of `text.standardization` is in lower case; its forms are what people write for it: `hanks` is `Hanks` to nearly
all of them, `dvd` is `DVD`. A capital at the beginning of a sentence says nothing of a word, nor does a shout.
"""

import string
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.text.standardization import lower, split_forms

MIN_COUNT = 3
"""Occurrences of a form, inside sentences, from which on it is learnt: 2 give a third more forms, and 0.1 % more
words right."""

MAX_FORMS = 20_000
"""Forms at most, the most frequent ones: they take 0.2 MB of each model's file. The real reviews have 14,546."""

_GOES_ON = frozenset(",;'&")
"""Signs behind which a sentence goes on; behind all others it may begin, or a quote, a title, a list."""

_BEGINS_ANEW = pa.array(sorted(set(string.punctuation) - _GOES_ON))


def count_forms(texts: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Count in which forms the words of some texts are written.

    Args:
        texts: string, (num_texts,), without nulls.

    Returns:
        Columns `form`, each form once; `count`, int64: how often it stands anywhere; `inside`, int64: how often inside
        a sentence, where its capitals are its own. A form in capitals beside another one is a shout, and not counted
        there.
    """
    lists = split_forms(texts)
    column = lists.flatten().dictionary_encode()
    forms, numbers = column.dictionary, column.indices.to_numpy()
    is_first = np.zeros(len(numbers) + 1, dtype=bool)  # one more: where the next text would begin
    is_first[lists.offsets.to_numpy()] = True

    begins_anew = _look_up(pc.is_in(forms, value_set=_BEGINS_ANEW), numbers)  # (num_words,)
    is_capital = _look_up(pc.ascii_is_upper(forms), numbers)
    is_long = _look_up(pc.greater(pc.utf8_length(forms), 1), numbers)
    stands_inside = ~is_first[:-1]
    stands_inside[1:] &= ~begins_anew[:-1]
    is_beside = is_capital[1:] & is_capital[:-1] & ~is_first[1:-1]
    is_shouted = np.zeros(len(numbers), dtype=bool)
    is_shouted[1:] |= is_beside
    is_shouted[:-1] |= is_beside
    stands_inside &= ~(is_shouted & is_long)
    return pa.table(
        {
            "form": forms,
            "count": np.bincount(numbers, minlength=len(forms)),
            "inside": np.bincount(numbers[stands_inside], minlength=len(forms)),
        }
    )


def _look_up(values: pa.BooleanArray, numbers: np.ndarray) -> np.ndarray:
    found: np.ndarray = values.to_numpy(zero_copy_only=False)[numbers]
    return found


def add_form_counts(counts: Sequence[pa.Table]) -> pa.Table:
    """Add up the counts of a corpus that was counted piece by piece.

    Args:
        counts: What `count_forms` returned for each piece.

    Returns:
        The same of the whole corpus, in an order that depends on nothing else; and `word`, that of each form.
    """
    summed = pa.concat_tables(counts).group_by("form").aggregate([("count", "sum"), ("inside", "sum")])
    summed = summed.rename_columns(["form", "count", "inside"]).sort_by("form")
    return summed.append_column("word", lower(summed["form"].combine_chunks()))


def choose_forms(counts: pa.Table) -> tuple[str, ...]:
    """Take the forms that people write more often than all others of their words, where they have a capital.

    Args:
        counts: Of `add_form_counts`.

    Returns:
        At most `MAX_FORMS`, in alphabetical order, one of a word. Single letters are left out: whether they are names
        is a matter of what stands beside them.
    """
    words = counts["word"].combine_chunks().dictionary_encode()
    numbers, inside = words.indices.to_numpy(), counts["inside"].to_numpy()
    totals = np.bincount(numbers, weights=inside)[numbers]  # (num_forms,), of all forms of the word
    is_name = (2 * inside > totals) & (inside >= MIN_COUNT)
    has_capital = pc.not_equal(counts["form"], counts["word"])
    is_long = pc.greater(pc.utf8_length(counts["form"]), 1)
    chosen = counts.filter(pc.and_(pa.array(is_name), pc.and_(has_capital, is_long)))
    order = pc.sort_indices(chosen, sort_keys=[("inside", "descending"), ("form", "ascending")])
    return tuple(sorted(chosen["form"].take(order[:MAX_FORMS]).to_pylist()))


def make_casing(forms: Iterable[str]) -> dict[str, str]:
    """Return each form by its word."""
    written = pa.array(forms, pa.string())
    return dict(zip(lower(written).to_pylist(), written.to_pylist(), strict=True))
