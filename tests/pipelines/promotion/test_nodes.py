import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from minigpt_pipeline.model.held_out_reviews import HeldOutReviews
from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.model_versions import CHAMPION, PREVIOUS_CHAMPION, Trial, VersionError
from minigpt_pipeline.parameters import ComputeSettings
from minigpt_pipeline.pipelines.promotion.nodes import decide_promotion
from minigpt_pipeline.text.token_tables import digest_tokens, mark_tokens
from tests.made_up_films import (
    GENERATION,
    KNOWN,
    PROMOTION,
    REVIEWS,
    SUBWORDS,
    TRAIN,
    VALIDATION,
    VECTORIZATION,
    draw,
    expect,
)

COMPUTE = ComputeSettings(device="cpu", precision="float32", memory_growth=True, deterministic=True)
WORKS = Trial(seconds_per_text=0.25, megabytes=1.5)
RUN = {
    "run_id": "a run",
    "cycle": "a cycle",
    "environment": "test",
    "git_commit": "0a1b",
    "decided_at": "2026-11-26 12:00:00 UTC",
}


@dataclass
class FakeVersion:
    """A version that is a model in memory; one that this process can't read is none."""

    number: str
    trained_model: TrainedModel | None
    trial: Trial = WORKS
    settled: str = ""
    data: str = "data/test"
    asked: list[str] = field(default_factory=list)

    def load(self) -> TrainedModel:
        self.asked.append("load")
        if self.trained_model is None:
            raise VersionError(f"version {self.number}: its file has format version 9")
        return self.trained_model

    def try_out(self, prompts: Sequence[str]) -> Trial:
        assert prompts == GENERATION.prompts
        self.asked.append("try_out")
        return self.trial


@dataclass
class FakeVersions:
    its_candidate: FakeVersion
    its_incumbents: list[tuple[str, FakeVersion]]

    def candidate(self) -> FakeVersion:
        return self.its_candidate

    def incumbents(self) -> list[tuple[str, FakeVersion]]:
        return self.its_incumbents

    def describe_run(self) -> dict[str, str]:
        return RUN


def decide(
    candidate: FakeVersion,
    champion: FakeVersion | None = None,
    previous: FakeVersion | None = None,
    **promotion: Any,
) -> dict[str, Any]:
    """Decide, and return the record as it is read again."""
    incumbents = [(alias, one) for alias, one in ((CHAMPION, champion), (PREVIOUS_CHAMPION, previous)) if one]
    record = decide_promotion(
        candidate.trained_model or expect({}),
        TRAIN,
        VALIDATION,
        [REVIEWS],
        FakeVersions(candidate, incumbents),
        PROMOTION.model_copy(update=promotion),
        GENERATION,
        VECTORIZATION,
        COMPUTE,
    )
    found: dict[str, Any] = json.loads(json.dumps(record, allow_nan=False))
    return found


@pytest.fixture(scope="module")
def fresh() -> TrainedModel:
    return expect({})


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return expect(KNOWN)


@pytest.fixture(scope="module")
def broken() -> TrainedModel:
    """Its training has diverged."""
    model = draw(seed=1)
    weights = [np.full_like(weight, math.nan) for weight in model.load_model().get_weights()]
    model.load_model().set_weights(weights)
    return TrainedModel.from_model(model.load_model(), model.tokenizer, model.metadata)


def test_a_better_model_is_promoted_and_the_record_says_why(
    fresh: TrainedModel, trained: TrainedModel
) -> None:
    record = decide(FakeVersion("2", trained), FakeVersion("1", fresh), num_texts=3)

    assert (record["outcome"], record["champion"]) == ("promoted", "2")
    assert record.items() >= RUN.items()
    assert record["thresholds"] == PROMOTION.model_dump() | {"num_texts": 3}
    assert record["data"] == {"reviews": len(VALIDATION), "digest": digest_tokens(VALIDATION)}
    candidate, (champion,) = record["candidate"], record["incumbents"]
    assert candidate["figures"] == {
        "perplexity": pytest.approx(champion["figures"]["perplexity"] * math.exp(champion["difference"]["mean"])),
        "unk_rate": champion["figures"]["unk_rate"],
        "seq_rep_4": pytest.approx(0.0, abs=0.3),
        "megabytes": 1.5,
        "seconds_per_text": 0.25,
    }  # fmt: skip
    assert champion["figures"]["perplexity"] == pytest.approx(10, rel=1e-4)  # words that are equally likely
    low, mean, high = (champion["difference"][name] for name in ("low", "mean", "high"))
    assert low < mean < high < 0
    assert champion["difference"]["unit"] == "nats per word"
    assert (champion["version"], champion["in_use"], champion["problem"]) == ("1", True, "")
    (reason,) = record["reasons"]
    assert reason.startswith(f"Version 2 is better than version 1: {mean:+.4f} nats per word, 95 % interval")


@pytest.mark.parametrize(
    ("nats", "reason"),
    [
        ({}, r"no better than noise to version 1: \+0\.0000 .* not wholly below 0"),
        (dict.fromkeys(KNOWN, -1.0), r"Version 2 is worse than version 1: \+"),
    ],
    ids=["equal", "worse"],
)
def test_what_is_not_better_leaves_the_champion(
    nats: dict[str, float], reason: str, fresh: TrainedModel
) -> None:
    record = decide(FakeVersion("2", expect(nats)), FakeVersion("1", fresh))

    assert (record["outcome"], record["champion"]) == ("kept", "1")
    assert re.search(reason, record["reasons"][-1])


def test_what_is_better_in_some_reviews_and_worse_in_others_leaves_the_champion() -> None:
    """One expects every film to be good, the other to be dull."""
    optimist, pessimist = (expect(KNOWN | {word: 1.0}) for word in ("good", "dull"))

    record = decide(FakeVersion("2", optimist), FakeVersion("1", pessimist))

    difference = record["incumbents"][0]["difference"]
    assert difference["low"] < 0 < difference["high"]
    assert (record["outcome"], record["champion"]) == ("kept", "1")
    assert "no better than noise" in record["reasons"][-1]


def test_the_margin_is_what_it_must_be_better_by(fresh: TrainedModel, trained: TrainedModel) -> None:
    record = decide(FakeVersion("2", trained), FakeVersion("1", fresh), margin=1.0)

    assert record["outcome"] == "kept"
    assert "not wholly below -1" in record["reasons"][-1]


def test_the_first_model_needs_only_the_floors(fresh: TrainedModel) -> None:
    record = decide(FakeVersion("1", fresh))

    assert (record["outcome"], record["champion"], record["incumbents"]) == ("promoted", "1", [])


@pytest.mark.parametrize(
    ("floors", "reason"),
    [
        ({"max_perplexity": 9.0}, r"perplexity of version 2 is 9\.6\d*, at most 9 is"),
        ({"max_unk_rate": 0.001}, r"unk_rate of version 2 is 0\.0\d+, at most 0\.001"),
        ({"max_megabytes": 1.0}, r"megabytes of version 2 is 1\.5, at most 1 is allowed \(max_megabytes\)"),
        ({"max_seconds_per_text": 0.2}, r"seconds_per_text of version 2 is 0\.25, at most 0\.2"),
    ],
)
def test_under_a_floor_nothing_is_promoted(floors: dict[str, float], reason: str) -> None:
    candidate, champion = expect({"is": 0.5}), expect({"is": -3.0})

    record = decide(FakeVersion("2", candidate), FakeVersion("1", champion), **floors)

    assert (record["outcome"], record["champion"]) == ("kept", "1")
    assert len(record["reasons"]) == 1
    assert re.search(reason, record["reasons"][0])
    assert record["incumbents"][0]["difference"]["high"] < 0  # it would be better
    assert decide(FakeVersion("2", candidate), **floors)["outcome"] == "vacant"


def test_a_model_that_repeats_itself_is_under_a_floor() -> None:
    parrot = expect(KNOWN | {"the": 12.0})  # writes `the the the ...`

    record = decide(FakeVersion("1", parrot), max_seq_rep_4=0.1)

    assert record["candidate"]["figures"]["seq_rep_4"] == pytest.approx(
        0.75
    )  # 7 words have one 4-gram four times
    assert record["reasons"] == ["seq_rep_4 of version 1 is 0.75, at most 0.1 is allowed (max_seq_rep_4)"]


def test_what_can_not_be_loaded_is_not_scored(fresh: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(HeldOutReviews, "score")
    candidate = FakeVersion("2", fresh, trial=Trial("a fresh process can't use it: no weights"))
    champion = FakeVersion("1", fresh)

    record = decide(candidate, champion)

    assert (record["outcome"], record["champion"]) == ("kept", "1")
    assert record["reasons"] == ["Version 2 can't be used: a fresh process can't use it: no weights"]
    assert record["candidate"]["problem"] == "a fresh process can't use it: no weights"
    assert (candidate.asked, champion.asked) == (["try_out"], ["load"])


@pytest.mark.parametrize("held", ["settled", "champion", "previous_champion"])
def test_what_is_settled_is_neither_tried_out_nor_scored(
    held: str, fresh: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(HeldOutReviews, "score")
    candidate = FakeVersion("2", fresh, settled="the decision was kept" if held == "settled" else "")
    other = FakeVersion("1", fresh)
    pairs = {
        "settled": (other, None),
        "champion": (candidate, other),
        "previous_champion": (other, candidate),
    }

    record = decide(candidate, *pairs[held])

    champion = "2" if held == "champion" else "1"
    assert (record["outcome"], record["champion"]) == ("kept", champion)
    assert "try_out" not in candidate.asked
    told = "the decision was kept" if held == "settled" else f"it is the {held} already"
    assert record["candidate"]["settled"] == told
    assert record["reasons"] == [f"Version 2 is not decided on again: {told}"]


def test_a_champion_that_can_still_be_served_is_kept(trained: TrainedModel) -> None:
    """Another version of the project has written it, and it brings its code along."""
    champion = FakeVersion("1", None)

    record = decide(FakeVersion("2", trained), champion)

    assert (record["outcome"], record["champion"]) == ("kept", "1")
    assert record["reasons"] == [
        "It can't be compared with version 1: this version of the project can't read it "
        "(version 1: its file has format version 9)"
    ]
    assert champion.asked == ["load", "try_out"]


@pytest.mark.parametrize(("nats", "outcome", "in_use"), [(KNOWN, "promoted", "3"), ({}, "restored", "1")])
def test_where_the_champion_can_not_be_used_the_one_before_counts(
    nats: dict[str, float], outcome: str, in_use: str, fresh: TrainedModel
) -> None:
    champion = FakeVersion("2", None, trial=Trial("a fresh process can't use it: it is gone"))

    record = decide(FakeVersion("3", expect(nats)), champion, FakeVersion("1", fresh))

    assert (record["outcome"], record["champion"]) == (outcome, in_use)
    assert record["reasons"][0] == "Version 2 can't be used: version 2: its file has format version 9"
    assert "version 1" in record["reasons"][1]
    assert [one["in_use"] for one in record["incumbents"]] == [True, False]


def test_where_the_champion_can_be_used_the_one_before_is_not_asked(
    fresh: TrainedModel, trained: TrainedModel
) -> None:
    previous = FakeVersion("1", fresh)

    record = decide(FakeVersion("3", trained), FakeVersion("2", fresh), previous)

    assert previous.asked == []
    assert [one["version"] for one in record["incumbents"]] == ["2"]


@pytest.mark.parametrize("previous", [True, False])
def test_a_champion_whose_weights_are_no_numbers_can_not_be_used(
    previous: bool, broken: TrainedModel, fresh: TrainedModel, trained: TrainedModel
) -> None:
    before = FakeVersion("1", fresh) if previous else None

    record = decide(FakeVersion("3", trained), FakeVersion("2", broken), before)

    assert (record["outcome"], record["champion"]) == ("promoted", "3")
    problem = "its perplexity on the validation reviews is no number (nan)"
    assert record["reasons"][0] == f"Version 2 can't be used: {problem}"
    assert record["incumbents"][0]["problem"] == problem
    assert record["incumbents"][0]["figures"]["perplexity"] is None
    assert ("better than version 1" in record["reasons"][1]) == previous


@pytest.mark.parametrize("has_champion", [True, False])
def test_a_candidate_whose_weights_are_no_numbers_is_never_promoted(
    has_champion: bool, broken: TrainedModel, fresh: TrainedModel
) -> None:
    """Though no floor is set to its perplexity, and it writes texts."""
    record = decide(FakeVersion("2", broken), FakeVersion("1", fresh) if has_champion else None)

    assert (record["outcome"], record["champion"]) == (("kept", "1") if has_champion else ("vacant", None))
    assert record["reasons"] == [
        "Version 2 can't be used: its perplexity on the validation reviews is no number (nan)"
    ]
    assert record["candidate"]["figures"] == {"perplexity": None, "unk_rate": pytest.approx(0.04, abs=0.03)}


def test_models_with_different_vocabularies_are_compared_by_characters(trained: TrainedModel) -> None:
    subwords = expect({}, SUBWORDS)

    record = decide(FakeVersion("2", trained), FakeVersion("1", subwords))

    (champion,) = record["incumbents"]
    assert (record["outcome"], record["champion"]) == ("promoted", "2")
    assert champion["difference"]["unit"] == "bits per character"
    assert champion["figures"]["unk_rate"] == 0 < record["candidate"]["figures"]["unk_rate"]
    assert "bits per character" in record["reasons"][-1]


def test_models_of_data_in_another_folder_are_not_compared(
    fresh: TrainedModel, trained: TrainedModel
) -> None:
    record = decide(FakeVersion("2", trained), FakeVersion("1", fresh, data="data"))

    assert (record["outcome"], record["champion"]) == ("kept", "1")
    (reason,) = record["reasons"]
    assert "version 1: it was trained on the data in data, and version 2 on that in data/test" in reason
    assert "`make rollback VERSION=2`" in reason
    assert decide(FakeVersion("2", trained), FakeVersion("1", fresh, data=""))["outcome"] == "promoted"


def test_ids_of_another_tokenizer_are_refused(fresh: TrainedModel) -> None:
    with pytest.raises(ValueError, match=f"are of tokenizer {SUBWORDS.digest}, and not of"):
        decide_promotion(
            fresh,
            TRAIN,
            mark_tokens(VALIDATION, SUBWORDS),
            [REVIEWS],
            FakeVersions(FakeVersion("1", fresh), []),
            PROMOTION,
            GENERATION,
            VECTORIZATION,
            COMPUTE,
        )
