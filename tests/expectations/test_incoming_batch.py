"""Batches of new reviews, good and poisoned, against the bounds of `conf/base`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from minigpt_pipeline.datasets.reviews_archive_dataset import stream_members
from minigpt_pipeline.expectations.incoming_batch import describe_batch, judge_batch, recognize_batch
from minigpt_pipeline.parameters import IncomingParameters, IngestionParameters, ValidationParameters
from minigpt_pipeline.text.imdb import ArchiveMember, parse_reviews
from minigpt_pipeline.text.incoming_batch import BatchOutcome, CheckedBatch, IncomingBatch
from minigpt_pipeline.text.known_texts import KnownTexts
from minigpt_pipeline.text.synthetic_reviews import fresh_reviews
from tests.text.foreign import PARTS, write_texts

CONF = Path(__file__).parents[2] / "conf"
INGESTION = IngestionParameters(include_unlabelled=False)
NUM_REVIEWS = 400
Poison = Callable[[pd.DataFrame], pd.DataFrame]


def read_parameters(group: str, environment: str = "base") -> dict[str, Any]:
    """Return the parameters of an environment."""
    values: dict[str, Any] = {}
    for folder in ("base", environment):
        path = CONF / folder / f"parameters_{group}.yml"
        values |= yaml.safe_load(path.read_text())[group] if path.exists() else {}
    return values


def judge(
    reviews: pd.DataFrame | Exception,
    known: KnownTexts | None = None,
    environment: str = "base",
    **changes: object,
) -> CheckedBatch:
    def open_files(max_bytes: int) -> Iterator[ArchiveMember]:
        if isinstance(reviews, Exception):
            raise reviews
        lines = reviews.to_json(orient="records", lines=True, force_ascii=False)
        yield ArchiveMember("new.jsonl", lines.encode())

    batch = IncomingBatch("0a1b", "new.jsonl", Path("new.jsonl"), 9, open_files)
    incoming = IncomingParameters(**read_parameters("incoming", environment) | changes)
    validation = ValidationParameters(**read_parameters("validation", environment))
    return judge_batch(batch, known or KnownTexts(), incoming, validation, INGESTION)


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    written = fresh_reviews(NUM_REVIEWS, seed=3)
    ratings = [review.rating for review in written]
    labels = ["pos" if rating > 6 else "neg" for rating in ratings]
    films = [f"tt{number}" for number in range(NUM_REVIEWS)]
    return pd.DataFrame(
        {"text": [one.text for one in written], "label": labels, "rating": ratings, "movie_id": films}
    )


def know(reviews: pd.DataFrame) -> KnownTexts:
    known = KnownTexts()
    known.add(reviews)
    return known


def blank(reviews: pd.DataFrame) -> pd.DataFrame:
    return reviews.assign(
        text=[" \n" if number % 10 == 5 else text for number, text in enumerate(reviews["text"])]
    )


def mark_up(reviews: pd.DataFrame) -> pd.DataFrame:
    texts = [f"<p>{text}</p>" if number % 20 == 0 else text for number, text in enumerate(reviews["text"])]
    return reviews.assign(text=texts)


def repeat(reviews: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([reviews, *[reviews.iloc[[1]]] * 4999], ignore_index=True)


def translate(reviews: pd.DataFrame) -> pd.DataFrame:
    foreign = [text for language in PARTS for text in write_texts(language, 100)]
    return pd.concat([reviews, pd.DataFrame({"text": foreign})], ignore_index=True)


POISONS: dict[str, tuple[Poison, str, str]] = {
    "blank": (blank, "rejected_rows_are_few", "blank_text"),
    "markup": (mark_up, "markup_is_rare", "markup"),
    "one review 5,000 times": (repeat, "duplicates_are_few", "duplicate"),
    "other languages": (translate, "other_languages_are_rare", "other_language"),
}


@pytest.mark.parametrize("environment", ["base", "sample", "test"])
def test_a_clean_batch_is_accepted_whole(clean: pd.DataFrame, environment: str) -> None:
    checked = judge(clean, know(clean.assign(text=clean["text"] + " Once more.")), environment)

    assert checked.outcome is BatchOutcome.ACCEPTED
    assert checked.report["reviews"] == {"read": NUM_REVIEWS, "taken": NUM_REVIEWS, "rejected_by_reason": {}}
    assert (checked.report["reasons"], checked.report["warnings"]) == ([], [])
    assert sorted(checked.kept["text"]) == sorted(clean["text"])
    assert checked.kept["review_id"].str.fullmatch(r"new/0a1b/new\.jsonl#\d+").all()
    pd.testing.assert_frame_equal(checked.measured, checked.kept)


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment", ["base", *(pytest.param(other, marks=pytest.mark.full) for other in ("sample", "test"))]
)
def test_a_thousand_real_reviews_are_accepted(imdb_archive: Path, environment: str) -> None:
    reviews = parse_reviews(stream_members(imdb_archive), include_unlabelled=False)
    some = reviews.sample(1000, random_state=1)[["text", "label", "rating", "movie_id"]]
    known = know(reviews[~reviews["text"].isin(some["text"])])

    checked = judge(some, known, environment)

    assert checked.outcome is BatchOutcome.ACCEPTED
    assert set(checked.report["reviews"]["rejected_by_reason"]) <= {"duplicate"}
    assert len(checked.kept) > 990


@pytest.mark.parametrize("name", POISONS)
def test_a_poisoned_batch_is_quarantined_with_the_reason(name: str, clean: pd.DataFrame) -> None:
    poison, rule, reason = POISONS[name]
    poisoned = poison(clean)
    checked = judge(poisoned)

    assert checked.outcome is BatchOutcome.QUARANTINED
    assert checked.kept.empty
    assert rule in [line.partition(":")[0] for line in checked.report["reasons"]]
    assert checked.report["reviews"]["taken"] == 0
    assert checked.report["reviews"]["rejected_by_reason"].keys() == {reason}
    assert len(checked.measured) == len(poisoned)


def test_all_poisons_together_are_quarantined_with_all_reasons(clean: pd.DataFrame) -> None:
    poisoned = clean
    for poison, _, _ in POISONS.values():
        poisoned = poison(poisoned)
    checked = judge(poisoned)

    assert checked.outcome is BatchOutcome.QUARANTINED
    assert {line.partition(":")[0] for line in checked.report["reasons"]} >= {
        "rejected_rows_are_few", "duplicates_are_few", "other_languages_are_rare"
    }  # fmt: skip
    assert checked.report["reviews"]["rejected_by_reason"].keys() == {
        reason for _, _, reason in POISONS.values()
    }


def test_a_few_bad_reviews_are_left_out_one_by_one(clean: pd.DataFrame) -> None:
    texts = clean["text"].tolist()
    texts[0], texts[1], texts[2] = (
        "<b>Bold</b> of them to make this film at all.",
        write_texts("de", 1)[0],
        texts[3],
    )
    checked = judge(clean.assign(text=texts))

    assert checked.outcome is BatchOutcome.ACCEPTED
    assert checked.report["reviews"]["rejected_by_reason"] == {
        "duplicate": 1,
        "markup": 1,
        "other_language": 1,
    }
    assert len(checked.kept) == NUM_REVIEWS - 3
    assert not checked.kept["text"].isin(texts[:2]).any()


def test_line_breaks_are_no_markup(clean: pd.DataFrame) -> None:
    checked = judge(clean.assign(text=clean["text"] + "<br /><br />I <3 it."))

    assert len(checked.kept) == NUM_REVIEWS


def test_known_texts_are_left_out_and_do_not_count(clean: pd.DataFrame) -> None:
    checked = judge(clean, know(clean.head(NUM_REVIEWS - 2)))

    assert checked.outcome is BatchOutcome.ACCEPTED
    assert checked.report["reviews"]["rejected_by_reason"] == {"known": NUM_REVIEWS - 2}
    assert len(checked.kept) == 2


def test_a_batch_without_news_is_quarantined(clean: pd.DataFrame) -> None:
    checked = judge(clean, know(clean))

    assert checked.outcome is BatchOutcome.QUARANTINED
    assert checked.report["reasons"] == ["All 400 texts are known already: nothing is new"]
    assert checked.measured.empty


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("a.csv is not UTF-8"), "a.csv is not UTF-8"),
        (KeyError("schema"), "It can't be read: KeyError('schema')"),
        (RecursionError(), "It can't be read: RecursionError()"),
    ],
)
def test_a_batch_that_can_t_be_read_is_quarantined_and_stops_nothing(error: Exception, told: str) -> None:
    checked = judge(error)

    assert checked.outcome is BatchOutcome.QUARANTINED
    assert checked.report["reasons"] == [told]
    assert checked.report["validation"] is None


def test_good_reviews_alone_are_a_warning(clean: pd.DataFrame) -> None:
    checked = judge(clean[clean["label"] == "pos"])

    assert checked.outcome is BatchOutcome.ACCEPTED
    (warning,) = checked.report["warnings"]
    assert warning.startswith("labels_are_balanced: Between 40% and 60%")


def test_a_batch_that_would_unbalance_all_reviews_is_quarantined(clean: pd.DataFrame) -> None:
    known = know(clean.assign(text=clean["text"] + " Once more."))
    positive = clean[clean["label"] == "pos"]

    few, many = (judge(part, known) for part in (positive.head(20), positive))

    assert few.outcome is BatchOutcome.ACCEPTED
    assert many.outcome is BatchOutcome.QUARANTINED
    (reason,) = many.report["reasons"]
    assert reason.startswith("all_labels_stay_balanced: With this batch between 40% and 60% of all")


def test_labels_without_ratings_and_texts_alone_are_accepted(clean: pd.DataFrame) -> None:
    known = know(clean.assign(text=clean["text"] + " Once more."))

    assert len(judge(clean[["text", "label"]], known).kept) == NUM_REVIEWS
    assert len(judge(clean[["text"]], known).kept) == NUM_REVIEWS


def test_language_and_markup_can_be_of_no_matter(clean: pd.DataFrame) -> None:
    poisoned = translate(mark_up(clean))

    assert judge(poisoned, language=None, max_markup_share=None).outcome is BatchOutcome.ACCEPTED


def test_what_is_accepted_passes_validation_with_all_that_was_there(clean: pd.DataFrame) -> None:
    from minigpt_pipeline.expectations.review_check import check_batch

    kept = judge(clean[["text", "label"]], environment="test").kept
    archive = clean.assign(
        review_id=[f"train/pos/{number}" for number in range(NUM_REVIEWS)],
        split="train",
        text=clean["text"] + " Once more.",
    )
    together = pd.concat([archive[kept.columns].astype(kept.dtypes), kept], ignore_index=True)
    bounds = ValidationParameters(**read_parameters("validation", "test") | {"min_reviews": 1})

    check = check_batch(together, bounds)

    assert check.report["accepted"]
    assert check.rejected.empty


def test_a_batch_that_was_accepted_before_is_recognized_without_reading_it() -> None:
    def fail(max_bytes: int) -> Iterator[ArchiveMember]:
        raise AssertionError("it is read")

    checked = recognize_batch(IncomingBatch("0a1b", "new.csv", Path("new.csv"), 9, fail))

    assert checked.outcome is BatchOutcome.TAKEN_BEFORE
    assert checked.report["outcome"] == "taken before"
    assert "this copy is removed" in checked.report["reasons"][0]


def test_a_batch_is_told_in_a_line(clean: pd.DataFrame) -> None:
    assert describe_batch(judge(blank(clean)).report) == (
        "new.jsonl: quarantined, 0 of 400 reviews taken (40 blank_text)"
    )
