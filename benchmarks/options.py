"""What the command line says."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Report


@dataclass(frozen=True)
class Options:
    """How to measure.

    Args:
        is_quick: Fewer rounds and smaller slices: minutes, and figures that only show the order of things.
        rounds: Slices of each variant; null means what the comparison thinks right.
        device: `auto`, `cpu` or `gpu`, of every variant that computes with TensorFlow or PyTorch.
        data: The project's data folder, for the token ids of the real reviews.
        output: Where results are written.
        images: Where plots are written.
        folder: A temporary folder for whatever the variants write.
        report: Shows progress.
        minutes: Of training, of a comparison that is measured bit by bit, or of a phase of `load`; null means what the
            comparison thinks right.
        project: Whose champion `load` serves; null means fresh weights.
    """

    is_quick: bool
    rounds: int | None
    device: str
    data: Path
    output: Path
    images: Path
    folder: Path
    report: Report
    minutes: float | None = None
    project: Path | None = None

    def choose(self, usual: int, quick: int) -> int:
        """Return a number of things to do."""
        return quick if self.is_quick else usual

    def choose_rounds(self, usual: int, quick: int) -> int:
        """Return the number of rounds."""
        return self.rounds or self.choose(usual, quick)
