"""Texts: the splitting into words against TensorFlow's, tokenizers, casing, and the way back to a text."""

from collections.abc import Callable, Iterator

from tests.hostile.fuzz.target import Target, UnexplainedError

BETWEEN_TEXTS = "\x1e\x01"


def make_seeds() -> Iterator[bytes]:
    """Yield texts in which much is that is rare."""
    yield from (
        text.encode()
        for text in (
            'A fine film.<br /><br />Don\'t miss it! 10/10 (e.g. the U.S. one), "so he said."',
            f"first<BR />{BETWEEN_TEXTS}{BETWEEN_TEXTS}THE END... '69, rock 'n' roll; J. R. R. and Mr. K. at 7.5 p.m.",
            "\x85\u2028\u2029\u3000\xa0 \ufeffNa\xefve e"
            + "\u0301" * 40
            + " \u202eright\u202c \u05d0\u05d1 \U0001f600\u200d\u2603\U0010ffff",
            "\x00\x1b[31m [UNK] \ufffd \u0130\u0131\u1e9e \ufb01 \u01c5",
            "[UNK][unk] <br<br />/> <br / > </br>",
        )
    )


def prepare() -> Callable[[bytes], None]:
    """Return what takes bytes as texts."""
    import pyarrow as pa
    import tensorflow as tf

    from minigpt_pipeline.model.text_vectorization import standardize_text
    from minigpt_pipeline.text.casing import add_form_counts, choose_forms, count_forms, make_casing
    from minigpt_pipeline.text.detokenization import to_readable_text
    from minigpt_pipeline.text.standardization import lower, split_forms, split_words
    from minigpt_pipeline.text.subword_tokenizer import train_subword_tokenizer
    from minigpt_pipeline.text.vocabulary import UNKNOWN, count_words
    from minigpt_pipeline.text.word_tokenizer import train_word_tokenizer

    corpus = split_words(pa.array([seed.decode() for seed in make_seeds()]))
    subwords = train_subword_tokenizer(count_words(corpus), 300)
    words = train_word_tokenizer(count_words(corpus), 40)

    def compare(what: str, found: object, expected: object) -> None:
        if found != expected:
            raise UnexplainedError(f"{what}: {found!r}, expected {expected!r}")

    def take(content: bytes) -> None:
        texts = content.decode("utf-8", "ignore").split(BETWEEN_TEXTS)
        column = pa.array(texts, pa.string())
        split = split_words(column)
        lists = split.to_pylist()
        standardized = standardize_text(tf.constant([text.encode() for text in texts]))
        expected = [[word.decode() for word in row] for row in tf.strings.split(standardized).to_list()]
        compare("words", lists, expected)
        compare("forms", lower(split_forms(column).flatten()).to_pylist(), split.flatten().to_pylist())
        casing = make_casing(choose_forms(add_form_counts([count_forms(column)] * 3)))
        for text, row in zip(texts, lists, strict=True):
            token_ids = subwords.encode(text)
            compare("decoded", subwords.decode(token_ids), " ".join(row))
            compare("exactly", subwords.decode(subwords.encode_exactly(text)), text)
            compare("number of words", len(words.encode(text)), len(row))
            readable = to_readable_text(row, casing)
            if UNKNOWN.lower() not in text.lower():
                compare(f"words of {readable!r}", split_words(pa.array([readable]))[0].as_py(), row)

    return take


TARGET = Target(make_seeds, prepare, max_input_size=4096, max_megabytes=2500)
