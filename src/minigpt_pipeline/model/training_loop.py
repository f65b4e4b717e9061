"""The training loop: epochs of steps, measured on the way, ended by whichever limit comes first.

`train` reads from top to bottom as a run goes. Keras' own `fit` is not used: limits in minutes, exact repeats, words
instead of places in every mean, checkpoints in the middle of an epoch, and steps on several machines need a loop of our
own. On several machines all take the same steps, and the chief alone measures, writes and decides.
"""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import keras
import numpy as np
import pandas as pd

from minigpt_pipeline.model.batches import count_batches, make_batches
from minigpt_pipeline.model.checkpoint import Checkpoint, UnusableCheckpointError
from minigpt_pipeline.model.checkpoint_store import CheckpointStore
from minigpt_pipeline.model.compute import ONE_CPU, ComputeDevice
from minigpt_pipeline.model.end_forecast import EndForecast
from minigpt_pipeline.model.evaluation import Evaluator
from minigpt_pipeline.model.interruption import Interruption, interruptible
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.saved_model import MetadataValue
from minigpt_pipeline.model.training_record import TrainingRecord
from minigpt_pipeline.model.training_sequences import TrainingSequences
from minigpt_pipeline.model.training_state import TrainingState
from minigpt_pipeline.model.training_step import compile_step, make_optimizer
from minigpt_pipeline.model.workers import Workers
from minigpt_pipeline.parameters import TrainingParameters
from minigpt_pipeline.progress import ShareDisplay, showing_share
from minigpt_pipeline.text.evaluation_windows import EvaluationWindows
from minigpt_pipeline.text.language_model_pairs import make_language_model_pairs
from minigpt_pipeline.text.vocabulary import PADDING_ID
from minigpt_pipeline.text.word_losses import perplexity

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingOutcome:
    """What came of a run.

    Args:
        summary: How far it went and how good it was: `epochs` (begun), `steps`, `words`, `best_epoch`, `best_step`,
            `best_validation_loss` (nats per word), `ended_by` (`epochs`, `max_steps`, `max_minutes` or `patience`).
        history: See `TrainingRecord.history`.
        speed: See `TrainingRecord.speed`.
    """

    summary: dict[str, MetadataValue]
    history: pd.DataFrame
    speed: pd.DataFrame


def train(
    model: MiniGPT,
    train_sequences: TrainingSequences,
    validation: EvaluationWindows,
    training: TrainingParameters,
    record: TrainingRecord,
    *,
    device: ComputeDevice = ONE_CPU,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoints: CheckpointStore | None = None,
) -> TrainingOutcome:
    """Train a model in place; at the end it has the weights of the lowest validation loss.

    A training that was killed goes on from its newest checkpoint, and comes to the same end, bit for bit, as if it had
    never stopped.

    Args:
        model: A float32 model. Callbacks see this one, whatever the precision of the steps.
        train_sequences: What each epoch is made of.
        validation: What the weights are measured on.
        training: Optimizer, limits, and how often to log, to look at the validation reviews and to save a checkpoint.
        record: Takes `train/loss`, `val/loss` and their kind while the run goes on, and what callbacks write to it.
        device: What the steps are computed on, and how precisely.
        callbacks: Called at the beginning and end of training, at the beginning of each epoch and at the end of each
            whole one. A training that goes on in the middle of an epoch begins it once more.
        checkpoints: Those of this training; null means that it neither saves nor looks for any.

    Raises:
        ValueError: If there is no review to train on, or none to validate on.
        FloatingPointError: If the loss is no longer a finite number.
        WorkerError: If another worker is lost.
        KeyboardInterrupt: If Ctrl-C is pressed: after the step at hand, with a checkpoint; a second time, at once.
    """
    for name, number, has_some in (
        ("train", len(train_sequences), train_sequences.has_words()),
        ("validation", len(validation.inputs), len(validation.scored) > 0),
    ):
        if not has_some:
            raise ValueError(
                f"The {name} part, {number} sequences, has no word to predict: "
                "look at the split in conf/base/parameters_vectorization.yml and at what validation rejected"
            )
    workers = Workers(device.make_strategy())
    with workers.watched(), showing_share("Training") as progress, interruptible() as interruption:
        loop = _TrainingLoop(model, train_sequences, validation, training, record, device, workers)
        loop.resume(checkpoints)
        loop.run(keras.callbacks.CallbackList(list(callbacks), model=model), progress, interruption)
    loop.finish()
    return TrainingOutcome(loop.summary(), record.history(), record.speed())


class _TrainingLoop:
    """One run: its tools are made here, and how far it has come is in `state`."""

    def __init__(
        self,
        model: MiniGPT,
        train_sequences: TrainingSequences,
        validation: EvaluationWindows,
        training: TrainingParameters,
        record: TrainingRecord,
        device: ComputeDevice,
        workers: Workers,
    ) -> None:
        self.started = self.checkpointed = time.monotonic()
        self.model = model
        self.workers = workers
        # The dropout of a copy draws from the seed, whatever was drawn since the model was made.
        keras.utils.set_random_seed(training.seed)
        has_average = training.optimizer.average_momentum is not None
        strategy = device.make_strategy()
        is_alone = strategy.num_replicas_in_sync == 1
        is_measured_itself = device.precision == "float32" and not has_average and is_alone
        self.train_sequences = train_sequences
        self.validation = validation
        self.training = training
        self.record = record
        self.batches_per_epoch = count_batches(len(train_sequences), training.batch_size)
        steps = training.epochs * self.batches_per_epoch
        self.last_step = min(steps, training.max_steps or steps)
        self.forecast = EndForecast(training, self.last_step)
        with strategy.scope():
            self.trained = model if is_measured_itself else model.in_precision(device.precision)
            self.optimizer = make_optimizer(training.optimizer, device.precision, self.last_step)
        self.step_function = compile_step(
            self.trained,
            self.optimizer,
            (training.batch_size, train_sequences.sequence_length),
            train_sequences.learn_ends,
            strategy=strategy,
            xla=device.xla,
        )
        self.evaluator = Evaluator(model, training.batch_size)

        self.checkpoints: CheckpointStore | None = None
        self.state = TrainingState()
        self.best_weights: list[np.ndarray] = []
        self.ended_by = ""
        self.is_stopped = False

    def resume(self, checkpoints: CheckpointStore | None) -> None:
        """Go on from the newest checkpoint, if there is one, and save further ones beside it."""
        self.checkpoints = checkpoints if self.workers.is_chief else None
        checkpoint = self.checkpoints.load_newest(self.last_step) if self.checkpoints else None
        checkpoint = self.workers.take_over(checkpoint)
        if checkpoint is None:
            return
        try:
            self._take_over(checkpoint)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise UnusableCheckpointError(
                f"The checkpoint of step {checkpoint.step} does not fit the training that it says it belongs to "
                f"({error!r}): remove the checkpoints (06_models/checkpoints), and the training begins anew"
            ) from error

    def _take_over(self, checkpoint: Checkpoint) -> None:
        self.state = TrainingState.from_json(checkpoint.state["training"])
        for name, variables in self._variables().items():
            for variable, value in zip(variables, checkpoint.arrays[name], strict=True):
                variable.assign(value)
        if self.workers.is_chief:
            self.record.take_over(checkpoint.state["record"])
            self.best_weights = checkpoint.arrays["best_weights"]

    def _variables(self) -> dict[str, list[keras.Variable]]:
        """Return all that a step changes: weights, the state of each dropout's random numbers, the optimizer's own.

        The float32 copy of a model in mixed precision is not among them: each use of it begins with new weights.
        """
        return {"model": self.trained.variables, "optimizer": self.optimizer.variables}

    def _is_checkpoint_due(self) -> bool:
        every_steps, every_minutes = (
            self.training.checkpoint_every_steps,
            self.training.checkpoint_every_minutes,
        )
        if every_steps is not None and self.state.step % every_steps == 0:
            return True
        return every_minutes is not None and time.monotonic() - self.checkpointed >= 60 * every_minutes

    def _save_checkpoint(self, checkpoints: CheckpointStore) -> None:
        self._read_losses()
        arrays = {
            name: [keras.ops.convert_to_numpy(variable) for variable in variables]
            for name, variables in self._variables().items()
        }
        state = {"training": self.state.to_json(self._seconds()), "record": self.record.to_json()}
        checkpoints.save(Checkpoint(self.state.step, state, arrays | {"best_weights": self.best_weights}))
        self.checkpointed = time.monotonic()

    def run(
        self, callbacks: keras.callbacks.CallbackList, progress: ShareDisplay, interruption: Interruption
    ) -> None:
        """Train until a limit is reached or the user asks to stop."""
        callbacks.on_train_begin()
        # A checkpoint may stand at a limit.
        self._look_for_end(interruption, self._reached_limit() if self.state.step else "")
        while not (self.ended_by or self.is_stopped):
            self._run_epoch(callbacks, progress, interruption)
        callbacks.on_train_end()
        if self.is_stopped:
            self._stop()

    def _look_for_end(self, interruption: Interruption, limit: str) -> None:
        """Learn whether the training ends here: by a limit that the chief has reached, or as a user wants to stop."""
        self.ended_by, self.is_stopped = self.workers.agree(limit, interruption.requested)

    def _stop(self) -> NoReturn:
        """Save how far the training has come, and do what Ctrl-C does."""
        if not self.state.step or (self.workers.is_chief and not self.checkpoints):
            raise KeyboardInterrupt
        if self.checkpoints:
            self._save_checkpoint(self.checkpoints)
        raise KeyboardInterrupt(f"training goes on behind step {self.state.step} of {self.last_step}")

    def _run_epoch(
        self, callbacks: keras.callbacks.CallbackList, progress: ShareDisplay, interruption: Interruption
    ) -> None:
        """Train on what is left of an epoch; between two steps is the only moment at which a checkpoint is saved."""
        epochs_done, batches_done = divmod(self.state.step, self.batches_per_epoch)
        callbacks.on_epoch_begin(epochs_done)
        sequences = self.train_sequences.of_epoch(epochs_done)[batches_done * self.training.batch_size :]
        for batch in make_batches(sequences, self.training.batch_size):
            self._take_step(batch)
            self._measure(progress)
            self._look_for_end(interruption, self._reached_limit())
            if self.state.step % self.batches_per_epoch == 0:
                self._evaluate()
                callbacks.on_epoch_end(epochs_done)
                self._look_for_end(interruption, self.ended_by or self._reached_limit())
            if self.ended_by or self.is_stopped:
                return
            if self.checkpoints and self._is_checkpoint_due():
                self._save_checkpoint(self.checkpoints)

    @property
    def epoch(self) -> int:
        """The epoch of the last step, counted from 1."""
        return count_batches(self.state.step, self.batches_per_epoch)

    def _take_step(self, batch: np.ndarray) -> None:
        started = time.monotonic()
        loss_sum, num_words = self.step_function(*make_language_model_pairs(batch))
        self.state.step += 1
        self.state.words += int((batch[:, 1:] != PADDING_ID).sum())
        self.state.losses.append((self.state.step, loss_sum, num_words))
        self.state.seconds_in_steps += time.monotonic() - started

    def _measure(self, progress: ShareDisplay) -> None:
        """Log and evaluate, as often as is asked for."""
        if self.state.step % self.training.log_every_steps == 0:
            self._log_losses(progress)
        if self.training.evaluate_every_steps and self.state.step % self.training.evaluate_every_steps == 0:
            self._evaluate()

    def _reached_limit(self) -> str:
        """Name the limit that is reached; empty while there is none."""
        if self.training.max_steps is not None and self.state.step >= self.training.max_steps:
            return "max_steps"
        if self.state.step >= self.training.epochs * self.batches_per_epoch:
            return "epochs"
        if self.training.patience is not None and self.state.disappointments >= self.training.patience:
            return "patience"
        return "max_minutes" if self._share_of_time() >= 1 else ""

    def _seconds(self) -> float:
        """Return how long the training has taken, in all attempts."""
        return self.state.seconds + time.monotonic() - self.started

    def _share_of_time(self) -> float:
        if self.training.max_minutes is None:
            return 0.0
        return self._seconds() / (60 * self.training.max_minutes)

    def _read_losses(self) -> None:
        """Read the losses since the last time from the device, in one go: reading each would make it wait."""
        started = time.monotonic()
        losses = [(step, float(loss_sum), float(words)) for step, loss_sum, words in self.state.losses]
        self.state.seconds_in_steps += time.monotonic() - started
        for step, loss_sum, _ in losses:
            self._check_finite("training", step, loss_sum)
        self.state.losses = losses

    def _log_losses(self, progress: ShareDisplay | None = None) -> None:
        self._read_losses()
        losses = self.state.losses
        if not losses:
            return
        words = sum(words for _, _, words in losses)
        loss = sum(loss_sum for _, loss_sum, _ in losses) / max(words, 1.0)
        tokens_per_second = words / self.state.seconds_in_steps
        metrics = {
            "train/loss": loss,
            "train/perplexity": perplexity(loss),
            "train/learning_rate": float(keras.ops.convert_to_numpy(self.optimizer.learning_rate)),
        }
        self._add(metrics)
        seconds = self._seconds()
        self.record.add_speed(step=self.state.step, seconds=seconds, tokens_per_second=tokens_per_second)
        self.forecast.add(self.state.step, seconds)
        self.state.losses, self.state.seconds_in_steps = [], 0.0
        if progress:
            progress.show(
                max(self.state.step / self.last_step, self._share_of_time()),
                self._seconds(),
                f"Epoch {self.epoch}, step {self.state.step}: loss {loss:.3f}, {tokens_per_second:,.0f} words/s",
            )

    def _check_finite(self, name: str, step: int, loss: float) -> None:
        if math.isfinite(loss):
            return
        raise FloatingPointError(
            f"The {name} loss is {loss} at step {step}, epoch {self.epoch}: try a smaller learning_rate "
            f"(now {self.training.optimizer.learning_rate:g}) in conf/base/parameters_training.yml, "
            f"or precision float32 (now {self.trained.dtype_policy.name}) in conf/base/catalog_compute.yml"
        )

    def _evaluate(self) -> None:
        """Measure on the validation reviews in float32, and keep the weights if they are the best so far."""
        state = self.state
        if state.evaluated_step == state.step:
            return
        self._log_losses()
        self._copy_weights()
        if not self.workers.is_chief:
            return
        losses = self.evaluator.score(self.validation)
        loss = losses.mean()
        self._check_finite("validation", state.step, loss)
        state.evaluated_step = state.step
        self._add(
            {"val/loss": loss, "val/perplexity": perplexity(loss), "val/unk_rate": losses.unknown_rate()}
        )
        logger.info("Epoch %d, step %d: validation loss %.4f", self.epoch, state.step, loss)
        if loss < state.best_loss:
            state.best_loss, state.best_step, state.disappointments = loss, state.step, 0
            self.best_weights = self.model.get_weights()
        else:
            state.disappointments += 1

    def _copy_weights(self) -> None:
        """Give the float32 model the weights that were trained, or their average over time."""
        if self.trained is self.model:
            return
        weights = self.trained.get_weights()
        has_average = self.training.optimizer.average_momentum is not None
        if has_average:
            self.optimizer.finalize_variable_values(self.trained.trainable_variables)
        self.model.set_weights(self.trained.get_weights())
        if has_average:
            self.trained.set_weights(weights)

    def _add(self, metrics: dict[str, float]) -> None:
        self.record.add(epoch=self.epoch, step=self.state.step, words=self.state.words, metrics=metrics)

    def finish(self) -> None:
        """Measure a last time, and give the model its best weights."""
        self._evaluate()
        if not self.workers.is_chief:
            logger.info("Training ended by %s after %d steps", self.ended_by, self.state.step)
            return
        self.model.set_weights(self.best_weights)
        logger.info(
            "Training ended by %s after %d steps; kept the weights of step %d, validation loss %.4f",
            self.ended_by,
            self.state.step,
            self.state.best_step,
            self.state.best_loss,
        )

    def summary(self) -> dict[str, MetadataValue]:
        """Return what `TrainingOutcome.summary` says."""
        return {
            "epochs": self.epoch,
            "steps": self.state.step,
            "words": self.state.words,
            "best_epoch": count_batches(self.state.best_step, self.batches_per_epoch),
            "best_step": self.state.best_step,
            "best_validation_loss": self.state.best_loss,
            "ended_by": self.ended_by,
        }
