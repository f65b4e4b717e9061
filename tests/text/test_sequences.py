import numpy as np
import pyarrow as pa
import pytest

from minigpt_pipeline.text.language_model_pairs import make_language_model_pairs
from minigpt_pipeline.text.sequences import pack, truncate

TOKEN_IDS = pa.table({"token_ids": pa.array([[5, 6, 7, 8, 9], [], [4]], pa.list_(pa.int32()))})


def test_truncate_takes_one_word_more_than_the_context() -> None:
    sequences = truncate(TOKEN_IDS, sequence_length=3)

    assert sequences.tolist() == [[5, 6, 7, 8], [0, 0, 0, 0], [4, 0, 0, 0]]
    assert sequences.dtype == np.int32


def test_truncate_reads_filtered_tables() -> None:
    assert truncate(TOKEN_IDS.slice(2), sequence_length=1).tolist() == [[4, 0]]


def test_make_language_model_pairs_shifts_by_one() -> None:
    inputs, labels = make_language_model_pairs(truncate(TOKEN_IDS, sequence_length=3))

    assert inputs[0].tolist() == [5, 6, 7]
    assert labels[0].tolist() == [6, 7, 8]


def test_make_language_model_pairs_refuses_single_tokens() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 1\) hold no pair"):
        make_language_model_pairs(np.zeros((3, 1), np.int32))


def test_pack_ends_each_review_and_goes_round() -> None:
    sequences = pack(TOKEN_IDS, sequence_length=4, offset=0)

    # The ring: 5 6 7 8 9 end, end (of the review without a word), 4 end.
    assert sequences.tolist() == [[5, 6, 7, 8, 9], [9, 0, 0, 4, 0], [0, 5, 6, 7, 8]]
    assert sequences.dtype == np.int32


def test_pack_cuts_elsewhere_at_another_offset() -> None:
    assert pack(TOKEN_IDS, sequence_length=4, offset=3)[0].tolist() == [8, 9, 0, 0, 4]


@pytest.mark.parametrize("offset", range(9))
def test_pack_predicts_every_word_wherever_it_is_cut(offset: int) -> None:
    _, labels = make_language_model_pairs(pack(TOKEN_IDS, sequence_length=2, offset=offset))

    assert set(labels.ravel()) == {0, 4, 5, 6, 7, 8, 9}
    assert labels.size == 10  # nine tokens, and one more to fill the last sequence
