"""A text has the same tokens where a model is trained and where it is served."""

import dataclasses
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minigpt_pipeline.datasets.reviews_archive_dataset import stream_members
from minigpt_pipeline.model.saved_model import (
    DESCRIPTION_MEMBER,
    TOKENIZER_MEMBER,
    TrainedModel,
    load_trained_model,
    save_trained_model,
)
from minigpt_pipeline.parameters import SplitParameters, VectorizationParameters
from minigpt_pipeline.pipelines.vectorization.nodes import encode_reviews, train_tokenizer
from minigpt_pipeline.text import tokenizer as tokenizer_module
from minigpt_pipeline.text.imdb import parse_reviews
from minigpt_pipeline.text.tokenizer import Tokenizer
from tests.made_up_models import make_members

SAMPLE = Path(__file__).parents[1] / "data/01_raw/sample_reviews.tar.gz"
ROWS = 512
WORDS = 3_000  # of the embedded corpus, so that some are [UNK]


def vectorize(kind: str) -> VectorizationParameters:
    split = SplitParameters(train=0.9, validation=0.05, test=0.05)
    return VectorizationParameters(tokenizer=kind, vocabulary_size=700, min_words=10, split=split)


def to_pieces(reviews: pd.DataFrame) -> list[pa.RecordBatch]:
    table = pa.Table.from_pandas(reviews, preserve_index=False)
    return table.to_batches(max_chunksize=ROWS)


def to_reviews(texts: Sequence[str]) -> pd.DataFrame:
    ids = [f"train/pos/{number}" for number in range(len(texts))]
    frame = pd.DataFrame({"review_id": ids, "movie_id": None, "rating": 7, "text": texts})
    return frame.astype({"movie_id": "str"})


def encode_as_in_training(reviews: pd.DataFrame, trained: Tokenizer, kind: str) -> dict[str, list[int]]:
    """Return the ids of each review from the tables that `vectorization` saves."""
    tables = encode_reviews(to_pieces(reviews), trained, vectorize(kind))
    return {row["review_id"]: row["token_ids"] for table in tables for row in table.to_pylist()}


def list_differing(reviews: pd.DataFrame, trained: Tokenizer, served: Tokenizer) -> list[str]:
    """Return the ids of reviews that have other tokens where they are served."""
    in_training = encode_as_in_training(reviews, trained, trained.kind)
    assert len(in_training) == len(reviews)
    pairs = zip(reviews["review_id"], reviews["text"], strict=True)
    return [review_id for review_id, text in pairs if served.encode(text) != in_training[review_id]]


@pytest.fixture(scope="module")
def embedded() -> pd.DataFrame:
    return parse_reviews(stream_members(SAMPLE), include_unlabelled=True)


@pytest.fixture(scope="module", params=["word", "subword"])
def trained(request: pytest.FixtureRequest, embedded: pd.DataFrame) -> Tokenizer:
    """What `vectorization` saves."""
    return train_tokenizer(to_pieces(embedded), vectorize(request.param))


@pytest.fixture(scope="module")
def saved(trained: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a model; its weights don't matter here."""
    path = tmp_path_factory.mktemp("model") / "trained_model.keras"
    save_trained_model(path, TrainedModel(make_members(vocabulary_size=len(trained)), trained, {}))
    return path


@pytest.fixture(scope="module")
def served(saved: Path) -> Tokenizer:
    """What a server reads prompts with."""
    return load_trained_model(saved).tokenizer


def test_every_embedded_review_has_the_same_tokens(
    embedded: pd.DataFrame, trained: Tokenizer, served: Tokenizer
) -> None:
    assert len(embedded) > 3000
    assert served is not trained
    assert list_differing(embedded, trained, served) == []


def test_a_difference_would_be_found(embedded: pd.DataFrame, trained: Tokenizer) -> None:
    class Careless(type(trained)):  # type: ignore[misc]
        def encode(self, text: str) -> list[int]:
            return super().encode(text.replace(",", ""))

    careless = Careless(**{field.name: getattr(trained, field.name) for field in dataclasses.fields(trained)})

    assert list_differing(embedded.head(500), trained, careless)


def test_real_reviews_have_the_same_tokens(real: pd.DataFrame, trained: Tokenizer, served: Tokenizer) -> None:
    assert list_differing(real, trained, served) == []


@pytest.fixture(scope="module")
def real(imdb_archive: Path) -> pd.DataFrame:
    reviews = parse_reviews(stream_members(imdb_archive), include_unlabelled=False)
    return reviews.iloc[:: max(1, len(reviews) // 4000)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_any_text_has_the_same_tokens(trained: Tokenizer, served: Tokenizer, texts: list[str]) -> None:
    assert list_differing(to_reviews(texts), trained, served) == []


@pytest.mark.parametrize(
    "text", ["", " ", "\x85", "<br /><br />", "[UNK]", "a\u2028b", "Ġ", "\x00", *tokenizer_module.PROBES]
)
def test_odd_texts_have_the_same_tokens(trained: Tokenizer, served: Tokenizer, text: str) -> None:
    assert list_differing(to_reviews(["a film", text]), trained, served) == []


def rewrite(path: Path, target: Path, member: str, change: Callable[[dict[str, object]], object]) -> Path:
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(target, "w") as changed:
        for name in archive.namelist():
            content = archive.read(name)
            if name == member:
                content = json.dumps(change(json.loads(content))).encode()
            changed.writestr(name, content)
    return target


def test_a_process_that_encodes_otherwise_than_the_training_can_not_use_the_model(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split_words = tokenizer_module.split_words

    def keep_breaks(texts: pa.Array) -> pa.ListArray:
        return split_words(pa.compute.replace_substring(texts, "<br />", "br"))

    monkeypatch.setattr(tokenizer_module, "split_words", keep_breaks)
    with pytest.raises(ValueError, match=r"encodes texts otherwise here .* than where the model was trained"):
        load_trained_model(saved)


def test_another_tokenizer_than_the_training_s_in_the_file_is_refused(saved: Path, tmp_path: Path) -> None:
    def swap(content: dict[str, object]) -> dict[str, object]:
        name = "words" if "words" in content else "tokens"
        tokens = list(content[name])  # type: ignore[call-overload]
        tokens[-1], tokens[-2] = tokens[-2], tokens[-1]
        return content | {name: tokens}

    changed = rewrite(saved, tmp_path / "changed.keras", TOKENIZER_MEMBER, swap)

    with pytest.raises(ValueError, match="encodes texts otherwise"):
        load_trained_model(changed)


def test_a_file_of_an_earlier_version_does_not_say_how_it_encodes(saved: Path, tmp_path: Path) -> None:
    def forget(content: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in content.items() if name != "encoding"}

    earlier = rewrite(saved, tmp_path / "earlier.keras", DESCRIPTION_MEMBER, forget)

    assert load_trained_model(earlier).tokenizer == load_trained_model(saved).tokenizer
