"""Which model is in use: a pure function of what was measured.

A candidate must keep the floors, and then be better than the model in use on the same reviews beyond noise. What is
equal, worse, unclear or not measurable changes nothing.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from minigpt_pipeline.parameters import PromotionParameters


class Outcome(StrEnum):
    """What becomes of the alias `champion`."""

    PROMOTED = "promoted"
    """It goes to the candidate."""
    KEPT = "kept"
    """It stays."""
    RESTORED = "restored"
    """It goes to the previous champion: its own model can't be used or is gone, and the candidate is not better."""
    VACANT = "vacant"
    """There is no model that can be used: the candidate is refused, and nothing else is left."""


@dataclass(frozen=True)
class Measured:
    """A model as it was measured now.

    Args:
        version: Of the registered model.
        problem: Why it can't be used, `its files are corrupt`; empty where it can.
        settled: What was decided about a candidate before: it is not decided on twice.
        figures: Measurements by the names of `PromotionParameters.max_...`, without `max_`.
    """

    version: str
    problem: str = ""
    settled: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """The candidate's loss less another model's, on the same reviews.

    Args:
        mean: Below zero where the candidate is better.
        low: Of the paired 95 % interval over reviews.
        high: Of it.
        unit: `nats per word`, or `bits per character` of models with different vocabularies.
    """

    mean: float
    low: float
    high: float
    unit: str = "nats per word"

    def __str__(self) -> str:
        """Write it for people."""
        return f"{self.mean:+.4f} {self.unit}, 95 % interval {self.low:+.4f} to {self.high:+.4f}"


@dataclass(frozen=True)
class Incumbent:
    """A model that was in use, held against the candidate.

    Args:
        model: As it was measured now.
        in_use: Whether it is the champion, and not the one before.
        difference: Null where the candidate can't be compared with it.
        incomparable: Why not.
    """

    model: Measured
    in_use: bool = True
    difference: Difference | None = None
    incomparable: str = ""


@dataclass(frozen=True)
class Decision:
    """What was decided, and why.

    Args:
        outcome: What becomes of the alias.
        champion: Version that is in use from now on; null where none can be.
        reasons: In sentences, the deciding one last.
    """

    outcome: Outcome
    champion: str | None
    reasons: tuple[str, ...]


def decide(candidate: Measured, incumbents: Sequence[Incumbent], floors: PromotionParameters) -> Decision:
    """Decide whether a candidate is the model in use from now on.

    Args:
        candidate: The model that was trained.
        incumbents: The champion, then the previous champion, as far as there are any.
        floors: What a candidate must keep, and the margin by which it must be better.
    """
    reasons = [
        f"Version {one.model.version} can't be used: {one.model.problem}"
        for one in incumbents
        if one.model.problem
    ]
    usable = next((one for one in incumbents if not one.model.problem), None)
    refusals = list(find_refusals(candidate, floors))
    if usable is None:
        if refusals:
            return Decision(Outcome.VACANT, None, (*reasons, *refusals))
        first = (
            f"Version {candidate.version} keeps every floor, and there is no other model to be better than"
        )
        return Decision(Outcome.PROMOTED, candidate.version, (*reasons, first))
    if not refusals:
        is_better, verdict = judge(candidate, usable, floors.margin)
        if is_better:
            return Decision(Outcome.PROMOTED, candidate.version, (*reasons, verdict))
        refusals = [verdict]
    outcome = Outcome.KEPT if usable.in_use else Outcome.RESTORED
    return Decision(outcome, usable.model.version, (*reasons, *refusals))


def find_refusals(candidate: Measured, floors: PromotionParameters) -> Iterator[str]:
    """Name each floor that a candidate does not keep, with its value; a figure that is no number keeps none."""
    if candidate.settled:
        yield f"Version {candidate.version} is not decided on again: {candidate.settled}"
        return
    if candidate.problem:
        yield f"Version {candidate.version} can't be used: {candidate.problem}"
        return
    for name, limit in floors.limits().items():
        value = candidate.figures.get(name)
        if value is None or math.isnan(value):
            found = "was not measured" if value is None else "is no number"
        elif value > limit:
            found = f"is {value:g}"
        else:
            continue
        yield f"{name} of version {candidate.version} {found}, at most {limit:g} is allowed (max_{name})"


def judge(candidate: Measured, incumbent: Incumbent, margin: float) -> tuple[bool, str]:
    """Say whether a candidate is better than a model by more than a margin, and what that rests on.

    Args:
        candidate: Keeps every floor.
        incumbent: Can be used.
        margin: In the unit of the difference, 0 or more.
    """
    other, difference = incumbent.model.version, incumbent.difference
    if difference is None:
        return False, f"It can't be compared with version {other}: {incumbent.incomparable}"
    if not all(map(math.isfinite, (difference.mean, difference.low, difference.high))):
        return False, f"The comparison with version {other} is no number: {difference}"
    needed = f"below -{margin:g}" if margin else "below 0"
    if difference.high < -margin:
        return (
            True,
            f"Version {candidate.version} is better than version {other}: {difference}, wholly {needed}",
        )
    if difference.low > 0:
        return False, f"Version {candidate.version} is worse than version {other}: {difference}"
    return (
        False,
        f"Version {candidate.version} is no better than noise to version {other}: {difference}, not wholly {needed}",
    )
