"""The result of one expectation, as plain data."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["critical", "warning"]


@dataclass(frozen=True)
class Outcome:
    """What one expectation found in one batch."""

    name: str
    """Our name for the rule, as in `text_is_not_blank`."""
    description: str
    """The rule in one sentence."""
    expectation: str
    """The type that Great Expectations gives it."""
    columns: tuple[str, ...]
    """The columns it reads; none for a rule about the whole table."""
    severity: Severity
    success: bool
    bounds: dict[str, object]
    """What is allowed, JSON-able."""
    observed: object = None
    """What is compared with the bounds, JSON-able, where it is one value for the whole batch."""
    failing_rows: tuple[int, ...] = ()
    """Positions of the rows that break the rule, ascending."""
    failing_share: float | None = None
    """Part of the rows with a value that break the rule; null where the rule is not about rows."""
    rejects_as: str | None = None
    """The reason that rows breaking the rule are rejected with; null where the rule rejects no row."""
    error: str | None = None
    """Why the rule could not be evaluated."""

    @property
    def refuses_batch(self) -> bool:
        """Whether the run must stop: a critical rule is broken, or nobody knows whether a rule holds."""
        return self.error is not None or (not self.success and self.severity == "critical")
