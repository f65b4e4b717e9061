import json

import pyarrow as pa
import pytest

from minigpt_pipeline.text.subword_tokenizer import train_subword_tokenizer
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.tokenizer_json import describe_tokenizer, make_tokenizer
from minigpt_pipeline.text.vocabulary import count_words
from minigpt_pipeline.text.word_tokenizer import train_word_tokenizer

COUNTS = count_words(pa.array([["naïve", "naïve", "\u2028", "film"]]))


FORMS = ("DVD", "Élan")


@pytest.mark.parametrize(
    "tokenizer", [train_word_tokenizer(COUNTS, 9, FORMS), train_subword_tokenizer(COUNTS, 265, FORMS)]
)
def test_a_tokenizer_survives_json(tokenizer: Tokenizer) -> None:
    content = json.loads(json.dumps(describe_tokenizer(tokenizer)))

    made = make_tokenizer(content)

    assert made == tokenizer
    assert made.casing == {"dvd": "DVD", "Élan": "Élan"}
    assert content["tokenizer"] == made.kind
    assert made.encode("a naïve film") == tokenizer.encode("a naïve film")


def test_another_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="tokenizer='letters' is none of `word` and `subword`"):
        make_tokenizer({"tokenizer": "letters"})
