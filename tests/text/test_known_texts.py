import pandas as pd
import pyarrow as pa

from minigpt_pipeline.text.known_texts import KnownTexts


def test_a_copy_is_known_and_counted_once() -> None:
    known = KnownTexts()
    known.add_pieces([pa.record_batch({"text": ["a", "b", None], "label": ["pos", None, "neg"]})])
    known.add(pd.DataFrame({"text": ["a", "c"], "label": ["pos", "neg"]}))

    assert known.find(pd.Series(["a", "A", "c", None, "b "])).tolist() == [True, False, True, False, False]
    assert (len(known), known.num_positive, known.num_labelled) == (3, 1, 2)
