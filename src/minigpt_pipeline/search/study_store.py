"""The trials of a search in an SQLite file, which outlives whoever is killed."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt_pipeline.files import replacing

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

STUDY = "sweep"
FINGERPRINT = "fingerprint"
REASON, REFUSED, UNFINISHED, RETRIES = "reason", "refused", "unfinished", "retries"
"""Attributes of a trial: why it ended before its training did; whether its parameters don't go together; whether
nothing is known of them; and the number of the trial that it repeats."""
HARMLESS = ("code", "libraries")
"""Parts of a fingerprint that may change in the course of a search: it says so and goes on."""


class StudyError(RuntimeError):
    """The trials can't be gone on with."""


class StudyStore:
    """An SQLite file; one search at a time writes to it.

    Args:
        path: Of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def open(self, fingerprint: Mapping[str, str]) -> Iterator["Study"]:
        """Open the trials of a search, or begin with none.

        Trials whose search was killed are marked as failed, and their parameters are the next to be tried.

        Args:
            fingerprint: Tells the search from others; see `model.fingerprint`.

        Yields:
            Optuna's study; its sampler and pruner are whoever's that searches.

        Raises:
            StudyError: If another search is at work on the file, or it holds trials of a search that differs.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self._locked():
            storage = self._open_storage()
            study = optuna.create_study(storage=storage, study_name=STUDY, load_if_exists=True)
            self._compare(study, fingerprint)
            _mark_killed(study)
            repeat_unfinished(study)
            try:
                yield study
            finally:
                storage.engine.dispose()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(self.path.with_name(f".{self.path.name}.lock")).acquire(blocking=False)
        except Timeout as error:
            raise StudyError(
                f"Another search is at work on {self.path}: wait for its end, or end it with Ctrl-C"
            ) from error
        with lock:
            yield

    def _open_storage(self) -> "RDBStorage":
        """Make the tables beside their place: a kill between two of them would leave a file that nobody can open."""
        from optuna.storages import RDBStorage

        if not self.path.exists():
            with replacing(self.path) as partial:
                RDBStorage(f"sqlite:///{partial}").engine.dispose()
        return RDBStorage(f"sqlite:///{self.path}")

    def _compare(self, study: "Study", fingerprint: Mapping[str, str]) -> None:
        known = study.user_attrs.get(FINGERPRINT)
        if known is None:
            study.set_user_attr(FINGERPRINT, dict(fingerprint))
            return
        changed = [name for name, digest in fingerprint.items() if known.get(name) != digest]
        if grave := [name for name in changed if name not in HARMLESS]:
            raise StudyError(
                f"The trials in {self.path} were made with other {', '.join(grave)}, and can't be compared with new "
                "ones: go back to what it was, or move the file away to begin a new search"
            )
        if changed:
            logger.warning("The trials in %s were made with other %s", self.path, ", ".join(changed))


def _mark_killed(study: "Study") -> None:
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        for name, value in ((REASON, "killed"), (UNFINISHED, True)):
            study._storage.set_trial_user_attr(trial._trial_id, name, value)
        study.tell(trial.number, state=TrialState.FAIL)
        logger.info("The search was killed in trial %d: its parameters are tried again", trial.number)


def repeat_unfinished(study: "Study") -> None:
    """Let the parameters of each trial that was killed or interrupted be tried again, once."""
    trials = study.get_trials()
    repeated = {trial.user_attrs.get(RETRIES) for trial in trials}
    for trial in trials:
        if trial.user_attrs.get(UNFINISHED) and trial.number not in repeated and trial.params:
            study.enqueue_trial(trial.params, user_attrs={RETRIES: trial.number})


def judged_trials(study: "Study") -> list["FrozenTrial"]:
    """Return the trials that were trained to their end, were given up, or broke down."""
    return [trial for trial in _known_trials(study) if not trial.user_attrs.get(REFUSED)]


def refused_trials(study: "Study") -> list["FrozenTrial"]:
    """Return the trials whose parameters don't go together."""
    return [trial for trial in _known_trials(study) if trial.user_attrs.get(REFUSED)]


def _known_trials(study: "Study") -> list["FrozenTrial"]:
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
