"""What `promotion` asks of the versions of the registered model; `tracking` answers from MLflow, tests from a list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from minigpt_pipeline.model.saved_model import TrainedModel

CHAMPION = "champion"
"""Alias of the version in use."""
PREVIOUS_CHAMPION = "previous_champion"
"""Of the one that was in use before it."""
CHALLENGER = "challenger"
"""Of one about which nothing is decided yet."""
DECISION_TAG = "decision"
"""What was decided about a version; written behind all that belongs to it."""


class VersionError(RuntimeError):
    """A version can't be read by this process."""


@dataclass(frozen=True)
class Trial:
    """What came of a version in a fresh process, as a server would load it.

    Args:
        problem: Why it can't be used; empty where it has written a text for every prompt.
        seconds_per_text: Once the first text was written.
        megabytes: Of its file.
    """

    problem: str = ""
    seconds_per_text: float = float("nan")
    megabytes: float = float("nan")


class ModelVersion(Protocol):
    """One version of the registered model."""

    @property
    def number(self) -> str:
        """Its name in the registry."""

    @property
    def settled(self) -> str:
        """What was decided about it before; empty where nothing was."""

    @property
    def data(self) -> str:
        """The folder of the data that it was trained on."""

    def load(self) -> "TrainedModel":
        """Read its file.

        Raises:
            VersionError: If that is missing, damaged or of another version of the project.
        """

    def try_out(self, prompts: Sequence[str]) -> Trial:
        """Load it in a fresh process with the code that was logged with it, and let it continue each prompt."""


class ModelVersions(Protocol):
    """Those among which `promotion` decides."""

    def candidate(self) -> ModelVersion:
        """The version of the model that the open run has trained; it is registered where it is not yet."""

    def incumbents(self) -> Sequence[tuple[str, ModelVersion]]:
        """The champion, then the previous champion, each with its alias, as far as there are any."""

    def describe_run(self) -> Mapping[str, str]:
        """Return what a record says of where the decision was made: `run_id`, `git_commit`, `cycle`, `decided_at`."""
