"""Where the schedules keep what they know: `.dagster/` in the project."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from minigpt_pipeline.files import replacing

INSTANCES = {
    "local": (),
    "postgresql": ("postgresql.yaml",),
    "docker": ("postgresql.yaml", "docker.yaml"),
    "kubernetes": ("postgresql.yaml", "kubernetes.yaml"),
}
"""Where Dagster keeps runs, and where they work: what each adds to `dagster.yaml`, from the folder `instances`."""
PROJECT_VARIABLE = "MINIGPT_PROJECT"
"""Tells Dagster's processes which project they serve."""
LONGEST_SOCKET = 100
"""Characters that the path of a socket may have on every system."""


@dataclass(frozen=True)
class Home:
    """The folder `.dagster/`, Dagster's own and ours.

    Args:
        project: Its root.
    """

    project: Path

    @property
    def folder(self) -> Path:
        """What DAGSTER_HOME names."""
        return self.project / ".dagster"

    @property
    def lock(self) -> Path:
        """Held by who runs the schedules."""
        return self.folder / "scheduler.lock"

    @property
    def socket(self) -> Path:
        """Where Dagster asks the project's definitions."""
        return self.folder / "code.sock"

    @property
    def settings(self) -> Path:
        """The settings as they were checked at the start: Dagster's processes read them without Kedro."""
        return self.folder / "schedules.json"

    @property
    def logs(self) -> Path:
        """What each `kedro run` has said."""
        return self.folder / "logs"

    @property
    def environment(self) -> dict[str, str]:
        """Variables for Dagster's processes."""
        ours = {"DAGSTER_HOME": str(self.folder), PROJECT_VARIABLE: str(self.project)}
        return {**os.environ, **ours, "DAGSTER_DISABLE_TELEMETRY": "true"}

    def make(self) -> None:
        """Make the folder.

        Raises:
            ValueError: If a system can't name the socket.
        """
        if len(str(self.socket)) > LONGEST_SOCKET:
            raise ValueError(
                f"{self.socket} has {len(str(self.socket))} characters, and a socket's path {LONGEST_SOCKET} at most: "
                "move the project to a shorter path"
            )
        self.folder.mkdir(exist_ok=True)
        with replacing(self.folder / ".nux/nux.yaml") as partial:
            # Or the first page would ask for an address to send news to.
            partial.write_text("seen: 1\n", encoding="utf-8")

    def configure(self, instance: str) -> None:
        """Tell Dagster where it keeps runs, and where they work.

        Args:
            instance: One of `INSTANCES`, or a file of the project.
        """
        folder = Path(__file__).parent
        parts = [
            folder / "dagster.yaml",
            *(folder / "instances" / part for part in INSTANCES.get(instance, ())),
        ]
        if instance not in INSTANCES:
            parts.append(self.project / instance)
        with replacing(self.folder / "dagster.yaml") as partial:
            partial.write_text(
                "\n".join(part.read_text(encoding="utf-8") for part in parts), encoding="utf-8"
            )

    def begin(self) -> None:
        """Note that the schedules begin now."""
        _write_time(self._began)
        self.stamp()

    def began_at(self) -> float:
        """Return when they began, in seconds of the Unix epoch."""
        return _read_time(self._began) or 0.0

    def stamp(self) -> None:
        """Note that they are at work now."""
        _write_time(self._stamp)

    def last_stamp(self) -> float | None:
        """Return when they last were, in seconds of the Unix epoch; null for never."""
        return _read_time(self._stamp)

    @property
    def _began(self) -> Path:
        return self.folder / "began"

    @property
    def _stamp(self) -> Path:
        return self.folder / "alive"


def _write_time(path: Path) -> None:
    with replacing(path) as partial:
        partial.write_text(f"{time.time():.3f}\n", encoding="utf-8")


def _read_time(path: Path) -> float | None:
    return float(path.read_text(encoding="utf-8")) if path.exists() else None


def find_home() -> Home:
    """Return the home of the project that this process of Dagster serves."""
    return Home(Path(os.environ.get(PROJECT_VARIABLE) or Path.cwd()))
