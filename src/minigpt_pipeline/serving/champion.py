"""Follows an alias of the registered model: another version is loaded beside the one in use, and takes its place."""

import gc
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from minigpt_pipeline.serving.served_model import ServedModel, load_version

if TYPE_CHECKING:
    from minigpt_pipeline.tracking.model_registry import ModelRegistry

logger = logging.getLogger(__name__)

TIMES_AS_PATIENT = 6
"""Behind a look at which something went wrong."""


class ChampionFollower:
    """Looks every few seconds, in a thread of its own.

    A store that does not answer, or a version that can't be loaded, leaves the one in use, and is told once.

    Args:
        registry: Of the registered model.
        alias: Which version is served.
        num_slots: Texts that a model writes side by side, at most.
        look_every: Seconds.
        use: Called with each version that is ready.
    """

    def __init__(
        self,
        registry: "ModelRegistry",
        alias: str,
        num_slots: int,
        look_every: float,
        use: Callable[[ServedModel], None],
    ) -> None:
        self._registry, self._alias, self._num_slots = registry, alias, num_slots
        self._look_every, self._use = look_every, use
        self._in_use = ""
        self._said = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="champion", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; what is being loaded is not waited for."""
        self._over.set()

    @property
    def is_at_work(self) -> bool:
        """Whether its thread is still alive, in the middle of a look."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._over.is_set():
            is_well = self.look()
            self._over.wait(self._look_every if is_well else TIMES_AS_PATIENT * self._look_every)

    def look(self) -> bool:
        """Load the version of the alias, where it is another one.

        Returns:
            Whether nothing went wrong.
        """
        try:
            version = self._registry.aliases().get(self._alias)
            if version is None:
                self._say(
                    "none",
                    f"{self._registry.name} has no {self._alias}: `kedro run --pipelines promotion` decides on a model "
                    "that was trained, `make rollback VERSION=...` puts a version in use",
                )
            elif version != self._in_use:
                self._use(load_version(self._registry, version, self._num_slots))
                self._in_use, self._said = version, ""
                gc.collect()  # a model and its compiled loop name each other
        except Exception as error:  # noqa: BLE001 -- whatever a store or a file does, the version in use goes on
            from minigpt_pipeline.tracking.store import tell

            kept = f"version {self._in_use} stays in use" if self._in_use else "nothing is served"
            self._say(
                type(error).__name__,
                f"The {self._alias} can't be loaded, {kept}: {tell(error)}",
            )
            return False
        return True

    def _say(self, what: str, text: str) -> None:
        """Say something in the log, and not again before something else."""
        if what != self._said:
            logger.warning("%s", text)
        self._said = what
