"""The search: trial after trial until the minutes, the trials or the user's patience are over."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minigpt_pipeline.model.training_log import TrainingLog
from minigpt_pipeline.parameters import ModelParameters, SweepParameters, TrainingParameters
from minigpt_pipeline.search.pruning import losses_at_rungs, make_pruner, share_done
from minigpt_pipeline.search.reporting_log import Look, ReportingLog
from minigpt_pipeline.search.space import (
    Values,
    configured_values,
    nest,
    possible_values,
    suggest,
    without_effect,
)
from minigpt_pipeline.search.study_store import REASON, REFUSED, UNFINISHED, judged_trials, refused_trials
from minigpt_pipeline.search.sweep_log import SweepLog, TrialLog
from minigpt_pipeline.search.timing import limit_steps

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

logger = logging.getLogger(__name__)

MAX_REFUSED = 100
"""By so many there may be more refused trials than judged ones."""
SECONDS, LOOKS = "seconds", "looks"
"""Attributes of a trial: how long it took, and its `Look`s as lists."""


TrainTrial = Callable[[ModelParameters, TrainingParameters, TrainingLog], float]
"""Returns the lowest loss on the validation films, in nats per word."""


class TrialEndedError(Exception):
    """A trial ends before its training does.

    Args:
        reason: In a few words.
        is_refused: Whether its parameters don't go together. The sampler learns from that, and no trial is counted.
        is_unfinished: Whether nothing is known of them, and they are tried again when the search goes on.
    """

    def __init__(self, reason: str, *, is_refused: bool = False, is_unfinished: bool = False) -> None:
        super().__init__(reason)
        self.is_refused = is_refused
        self.is_unfinished = is_unfinished


class Search:
    """Suggests parameters, trains, and learns from what comes of it.

    Args:
        study: Optuna's, of `StudyStore.open`.
        sweep: Space and limits.
        base: `model` and `training`, of which a trial changes a few fields.
        train_trial: Trains a model with the parameters of a trial.
        sweep_log: Takes the trials' logs.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        study: "Study",
        sweep: SweepParameters,
        base: Mapping[str, Any],
        train_trial: TrainTrial,
        sweep_log: SweepLog,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.study = study
        self.sweep = sweep
        self.base = nest(limits_of_trials(sweep, base), base)
        self.train_trial = train_trial
        self.sweep_log = sweep_log
        self.clock = clock
        self.spent = float(sum(trial.user_attrs.get(SECONDS, 0.0) for trial in study.get_trials()))
        self.started = clock()
        study.pruner = make_pruner(sweep.pruning)

    def run(self) -> None:
        """Try what is configured, then other parameters, until a limit is reached.

        Raises:
            KeyboardInterrupt: If Ctrl-C is pressed; the trial at hand is tried again when the search goes on.
        """
        for name, needed in without_effect(self.base, self.sweep.space).items():
            logger.warning("The space names %s, which changes nothing without %s", name, needed)
        configured = configured_values(self.base, self.sweep.space)
        if configured and not self.study.get_trials():
            self.study.enqueue_trial(configured)
        try:
            while not (reason := self._reached_limit()):
                self._run_trial()
        except KeyboardInterrupt as interrupt:
            num_judged = len(judged_trials(self.study))
            raise KeyboardInterrupt(f"the search goes on; trials done so far: {num_judged}") from interrupt
        logger.info("The search ended by %s after %d trials", reason, len(judged_trials(self.study)))

    def seconds_left(self) -> float:
        """Return the rest of the minutes."""
        return 60 * self.sweep.max_minutes - self.spent - (self.clock() - self.started)

    def _reached_limit(self) -> str:
        """Name the limit that is reached; empty while there is none."""
        num_judged = len(judged_trials(self.study))
        if num_judged >= self.sweep.max_trials:
            return "max_trials"
        if len(refused_trials(self.study)) >= MAX_REFUSED + num_judged:
            return "refusals: nearly no parameters of the space go together"
        return "max_minutes" if self.seconds_left() < self._seconds_of_a_trial() else ""

    def _seconds_of_a_trial(self) -> float:
        """Return how long a whole trial may take: one that the end of the minutes would cut off is not begun."""
        longest = [float(trial.user_attrs[SECONDS]) for trial in self._completed()]
        return max([60 * (self.sweep.trial.max_minutes or 1e-9), *longest])

    def _completed(self) -> list["FrozenTrial"]:
        from optuna.trial import TrialState

        return self.study.get_trials(states=(TrialState.COMPLETE,))

    def _run_trial(self) -> None:
        """Try what the sampler suggests."""
        from optuna.trial import TrialState

        # A seed for each trial: a search that goes on suggests what it would have suggested without a break.
        num_judged, num_refused = len(judged_trials(self.study)), len(refused_trials(self.study))
        self.study.sampler = make_sampler(self.sweep, num_judged, num_refused)
        trial = self.study.ask()
        values = suggest(trial, self.sweep.space)
        self._announce(trial.number, values)
        started = self.clock()
        parameters = nest(values, self.base)
        ended, loss, interrupt = None, None, None
        with self.sweep_log.open_trial(trial.number, parameters) as log:
            try:
                loss = self._train(trial, parameters, log, started)
            except TrialEndedError as error:
                ended = error
            except KeyboardInterrupt as error:
                # Nothing is known of it; a kill would be held against its parameters.
                ended, interrupt = TrialEndedError("interrupted", is_unfinished=True), error
            trial.set_user_attr(SECONDS, self.clock() - started)
            state = TrialState.COMPLETE
            if ended:
                trial.set_user_attr(REASON, str(ended))
                trial.set_user_attr(REFUSED, ended.is_refused)
                trial.set_user_attr(UNFINISHED, ended.is_unfinished)
                state = TrialState.FAIL if ended.is_unfinished else TrialState.PRUNED
            log.describe(
                {
                    "trial_state": "refused" if ended and ended.is_refused else state.name.lower(),
                    "trial_reason": str(ended or ""),
                }
            )
            self.study.tell(trial, loss, state=state)
            if interrupt:
                raise interrupt
        self._log_outcome(trial.number, loss, ended)

    def _train(self, trial: "Trial", parameters: Mapping[str, Any], log: TrialLog, started: float) -> float:
        """Train with the parameters of a trial.

        Raises:
            TrialEndedError: If it is refused, breaks down, or is given up.
        """
        looks: list[Look] = []

        def look(measured: Look) -> None:
            looks.append(measured)
            trial.set_user_attr(LOOKS, [list(each) for each in looks])
            trial.set_user_attr(SECONDS, self.clock() - started)
            self._judge(trial, looks, training)

        try:
            model = ModelParameters.model_validate(parameters["model"])
            training = TrainingParameters.model_validate(parameters["training"])
            if (timed_steps := self.sweep.trial.timed_steps) is not None:
                training = limit_steps(self.train_trial, model, training, timed_steps)
                log.describe({"max_steps": str(training.max_steps)})
            return self.train_trial(model, training, ReportingLog(log, look))
        except (FloatingPointError, MemoryError) as error:
            raise TrialEndedError(str(error) or "no memory is left") from error
        except ValueError as error:
            raise TrialEndedError(describe_refusal(error), is_refused=True) from error

    def _judge(self, trial: "Trial", looks: Sequence[Look], training: TrainingParameters) -> None:
        """Give a trial up that is worse than others were at this share of theirs, or that has no time left."""
        measured, shares = looks[-1], [share_done(each, training) for each in looks]
        for rung, loss in losses_at_rungs(shares, [each.loss for each in looks]).items():
            trial.report(loss, rung)
        if shares[-1] >= 1:
            return
        if trial.should_prune():
            raise TrialEndedError(f"given up at step {measured.step}, validation loss {measured.loss:.4f}")
        if self.seconds_left() <= 0:
            raise TrialEndedError("the minutes of the search are over", is_unfinished=True)

    def _announce(self, number: int, values: Values) -> None:
        left = max(0, round(self.seconds_left()))
        best = self.study.best_trial if self._completed() else None
        logger.info(
            "Trial %d (%d of %d done), %s, %d:%02d:%02d left: %s",
            number,
            len(judged_trials(self.study)),
            self.sweep.max_trials,
            f"best {best.value:.4f} of trial {best.number}" if best else "no best yet",
            left // 3600,
            left // 60 % 60,
            left % 60,
            ", ".join(f"{name}={value}" for name, value in values.items()),
        )

    def _log_outcome(self, number: int, loss: float | None, ended: TrialEndedError | None) -> None:
        if loss is None:
            logger.info("Trial %d: %s", number, ended)
            return
        self.sweep_log.log(number, {"sweep/loss": loss, "sweep/best_loss": self.study.best_value})
        logger.info("Trial %d: validation loss %.4f", number, loss)


ENDLESS = 1_000_000
"""Epochs, of which a trial never reaches the last."""


def limits_of_trials(sweep: SweepParameters, base: Mapping[str, Any]) -> Values:
    """Return what every trial has in place of what `training` says; texts and checkpoints would only take time.

    Its own limit ends a trial, and its epochs don't, but where the learning rate falls to zero with the last of them:
    without steps that are given or timed, a cosine knows no other end.

    Args:
        sweep: Supplies the limits.
        base: `model` and `training`, as they are configured.
    """
    limits: Values = {
        "training.max_steps": sweep.trial.max_steps,
        "training.max_minutes": sweep.trial.max_minutes,
        "training.evaluate_every_steps": sweep.trial.evaluate_every_steps,
        "training.sample_every_epochs": ENDLESS,
        "training.checkpoint_every_minutes": None,
        "training.checkpoint_every_steps": None,
    }
    falls_with_epochs = (
        sweep.trial.max_steps is None
        and sweep.trial.timed_steps is None
        and "cosine" in possible_values("training.optimizer.decay", base, sweep.space)
        and None in possible_values("training.optimizer.decay_steps", base, sweep.space)
    )
    return limits if falls_with_epochs else limits | {"training.epochs": ENDLESS}


def make_sampler(sweep: SweepParameters, num_judged: int, num_refused: int) -> Any:
    """Return a tree-structured Parzen estimator (Bergstra et al., 2011) over all parameters together.

    Args:
        sweep: Supplies the seed, and how many trials are drawn at random first.
        num_judged: Trials so far.
        num_refused: Trials so far whose parameters did not go together; Optuna counts them too.
    """
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    seed = int(np.random.SeedSequence([sweep.seed, num_judged, num_refused]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        num_random = sweep.random_trials + num_refused
        return TPESampler(seed=seed, n_startup_trials=num_random, multivariate=True)


def describe_refusal(error: ValueError) -> str:
    """Return in a line why parameters can't be trained with."""
    errors = getattr(error, "errors", None)
    if callable(errors):  # pydantic's, without the addresses of its pages
        return "; ".join(str(detail["msg"]).removeprefix("Value error, ") for detail in errors())
    return str(error)
