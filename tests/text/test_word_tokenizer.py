import pyarrow as pa

from minigpt_pipeline.text.vocabulary import Vocabulary, count_words
from minigpt_pipeline.text.word_tokenizer import WordTokenizer, train_word_tokenizer

TOKENIZER = WordTokenizer(Vocabulary(("", "[UNK]", "film", "the", "naïve")))
WORDS = pa.array([["oh", "the", "film"], [], ["film", "ah", "ah"]])


def test_train_word_tokenizer_takes_the_most_frequent_words() -> None:
    tokenizer = train_word_tokenizer(count_words(WORDS), size=4)

    assert tokenizer.vocabulary.words == ("", "[UNK]", "film", "ah")


def test_encode_standardizes_and_decode_gives_the_words() -> None:
    token_ids = TOKENIZER.encode("The new<br />FILM")

    assert token_ids == [3, 1, 2]
    assert TOKENIZER.decode([*token_ids, 0]) == "the [UNK] film"
    assert TOKENIZER.write_on("The new", [2, 0]) == "The new film"


def test_find_knows_words_of_the_vocabulary() -> None:
    assert [TOKENIZER.find(word) for word in ("film", "[UNK]", "unknown")] == [2, None, None]


def test_each_token_is_a_word_with_the_space_before_it() -> None:
    assert TOKENIZER.starts_word.tolist() == [False, True, True, True, True]
    assert TOKENIZER.num_characters.tolist() == [0, 1, 5, 4, 6]


def test_find_unknown_words_names_those_behind_each_unknown_token() -> None:
    for words in (WORDS, WORDS[1:], WORDS[:0]):
        found = TOKENIZER.find_unknown_words(words, TOKENIZER.encode_lists(words))
        assert found.to_pylist() == [
            [word for word in text if word in {"oh", "ah"}] for text in words.to_pylist()
        ]
