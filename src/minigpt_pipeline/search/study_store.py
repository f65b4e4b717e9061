"""The trials of a search in an SQLite file, which outlives whoever is killed."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
KILLED = "killed"
"""Reason of a trial whose process was no more when the search went on."""
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

        Trials whose search was killed are marked as failed, and their parameters are the next to be tried; those that
        were killed twice are given up.

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

    def check_free(self) -> None:
        """See that the file can be opened.

        Raises:
            StudyError: If another search is at work on it.
        """
        with self._locked():
            pass

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
        from optuna.exceptions import OptunaError
        from sqlalchemy.exc import DatabaseError

        try:
            return RDBStorage(f"sqlite:///{self.path}")
        except (DatabaseError, OptunaError, RuntimeError) as error:
            raise StudyError(
                f"{self.path} can't be read as the trials of a search ({str(error).partition(chr(10))[0]}): restore "
                "it, or move it away to begin a new search"
            ) from error

    def _compare(self, study: "Study", fingerprint: Mapping[str, str]) -> None:
        known: Any = study.user_attrs.get(FINGERPRINT)
        if known is None:
            study.set_user_attr(FINGERPRINT, dict(fingerprint))
            return
        changed = [name for name, digest in fingerprint.items() if known.get(name) != digest]
        if grave := [name for name in changed if name not in HARMLESS]:
            raise StudyError(
                f"The trials in {self.path} were made with other {', '.join(grave)}, and can't be compared with new "
                "ones: go back to what it was (behind an upgrade, to the version before), or move the file away to "
                "begin a new search"
            )
        if changed:
            logger.warning("The trials in %s were made with other %s", self.path, ", ".join(changed))


def _mark_killed(study: "Study") -> None:
    """Mark the trial in which a search was killed.

    One that repeats a killed trial is given up: what kills its process each time, as a model that is larger than the
    memory does, would be tried again for ever.
    """
    from optuna.trial import TrialState

    trials = study.get_trials()
    for trial in trials:
        if trial.state != TrialState.RUNNING:
            continue
        former = trial.user_attrs.get(RETRIES)
        if former is not None and trials[former].user_attrs.get(REASON) == KILLED:
            _set_attributes(study, trial, {REASON: f"killed twice, at first as trial {former}"})
            study.tell(trial.number, state=TrialState.PRUNED)
            logger.warning(
                "The search was killed again in trial %d: its parameters are given up", trial.number
            )
        else:
            _set_attributes(study, trial, {REASON: KILLED, UNFINISHED: True})
            study.tell(trial.number, state=TrialState.FAIL)
            logger.info("The search was killed in trial %d: its parameters are tried again", trial.number)


def _set_attributes(study: "Study", trial: "FrozenTrial", attributes: Mapping[str, object]) -> None:
    for name, value in attributes.items():
        study._storage.set_trial_user_attr(trial._trial_id, name, value)


def repeat_unfinished(study: "Study") -> None:
    """Let the parameters of each trial that was killed or interrupted be tried again, once."""
    trials = study.get_trials()
    repeated = {trial.user_attrs.get(RETRIES) for trial in trials}
    for trial in trials:
        # A trial that waited in the queue has its parameters there, also where it was killed before it took them all.
        parameters = {**trial.params, **trial.system_attrs.get("fixed_params", {})}
        if trial.user_attrs.get(UNFINISHED) and trial.number not in repeated and parameters:
            study.enqueue_trial(parameters, user_attrs={RETRIES: trial.number})


def judged_trials(study: "Study") -> list["FrozenTrial"]:
    """Return the trials that were trained to their end, were given up, or broke down."""
    return [trial for trial in _known_trials(study) if not trial.user_attrs.get(REFUSED)]


def refused_trials(study: "Study") -> list["FrozenTrial"]:
    """Return the trials whose parameters don't go together."""
    return [trial for trial in _known_trials(study) if trial.user_attrs.get(REFUSED)]


def _known_trials(study: "Study") -> list["FrozenTrial"]:
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
