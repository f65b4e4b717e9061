"""The newest checkpoints of a training."""

import logging
import os
import shutil
from pathlib import Path

from minigpt_pipeline.files import replacing
from minigpt_pipeline.model.checkpoint import (
    Checkpoint,
    Fingerprint,
    UnusableCheckpointError,
    read_checkpoint,
    write_checkpoint,
)

logger = logging.getLogger(__name__)

SUFFIX = ".checkpoint"


class CheckpointStore:
    """A folder of numbered checkpoints, of which only the newest are kept.

    Args:
        folder: Where they lie; nobody else writes there.
        keep: How many stay; while one is written there is one more.
        fingerprint: Of the training that writes and reads them; see `for_training`.
    """

    def __init__(self, folder: Path, keep: int, fingerprint: Fingerprint | None = None) -> None:
        self._folder = folder
        self._keep = keep
        self._fingerprint = fingerprint or {}
        self._unusable: set[Path] = set()

    def for_training(self, fingerprint: Fingerprint) -> "CheckpointStore":
        """Return the same store for the checkpoints of one training.

        Args:
            fingerprint: Tells its checkpoints from those of others.
        """
        return CheckpointStore(self._folder, self._keep, fingerprint)

    def save(self, checkpoint: Checkpoint) -> None:
        """Save a checkpoint, then remove those that it makes superfluous.

        Whenever this is killed, either the new checkpoint is there or the ones before it are.
        """
        paths = self._paths()
        number = int(paths[-1].stem) + 1 if paths else 1
        with replacing(self._folder / f"{number:06d}{SUFFIX}") as partial:
            write_checkpoint(partial, checkpoint, self._fingerprint)
        _sync_folder(self._folder)
        self._remove_superfluous()

    def load_newest(self, last_step: int) -> Checkpoint | None:
        """Read the newest checkpoint of the training, and log why newer files can't be used.

        Args:
            last_step: A checkpoint behind it is of no use: the training ends there.

        Returns:
            None if there is none.
        """
        paths = self._paths()
        for path in reversed(paths):
            try:
                checkpoint = self._read(path, last_step)
            except (UnusableCheckpointError, OSError) as error:
                logger.warning("The checkpoint %s can't be used: %s", path, error)
                self._unusable.add(path)
            else:
                logger.info("Resuming from step %d of %d: %s", checkpoint.step, last_step, path)
                return checkpoint
        if paths:
            logger.warning("No checkpoint in %s can be used: starting from the beginning", self._folder)
        return None

    def _read(self, path: Path, last_step: int) -> Checkpoint:
        checkpoint = read_checkpoint(path, self._fingerprint)
        if checkpoint.step > last_step:
            raise UnusableCheckpointError(
                f"it stands at step {checkpoint.step}, and the training ends at step {last_step}"
            )
        return checkpoint

    def clear(self) -> None:
        """Remove all checkpoints."""
        if self._folder.exists():
            shutil.rmtree(self._folder)

    def _paths(self) -> list[Path]:
        """Return the checkpoints, the newest last."""
        return sorted(
            (path for path in self._folder.glob(f"*{SUFFIX}") if path.stem.isdecimal() and path.is_file()),
            key=lambda path: int(path.stem),
        )

    def _remove_superfluous(self) -> None:
        """Remove what was found unusable, now that there is something better, and all but the newest."""
        usable = [path for path in self._paths() if path not in self._unusable]
        for path in {*self._unusable, *usable[: -self._keep]}:
            path.unlink(missing_ok=True)
        self._unusable.clear()


def _sync_folder(folder: Path) -> None:
    """Wait until the disk knows the new name of a file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
