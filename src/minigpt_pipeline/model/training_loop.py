"""The training loop: epochs of steps, measured on the way, ended by whichever limit comes first.

`train` reads from top to bottom as a run goes. Keras' own `fit` is not used: limits in minutes, exact repeats, words
instead of places in every mean, and (later) steps on several machines need a loop of our own.
"""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd

from minigpt_pipeline.model.batches import count_batches, make_batches, shuffle_epoch
from minigpt_pipeline.model.evaluation import Evaluator
from minigpt_pipeline.model.interruption import Interruption, interruptible
from minigpt_pipeline.model.losses import perplexity
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.progress import ProgressDisplay, showing_progress
from minigpt_pipeline.model.saved_model import MetadataValue
from minigpt_pipeline.model.training_log import TrainingLog
from minigpt_pipeline.model.training_record import TrainingRecord
from minigpt_pipeline.model.training_step import compile_step, make_optimizer
from minigpt_pipeline.parameters import TrainingParameters
from minigpt_pipeline.text.language_model_pairs import make_language_model_pairs
from minigpt_pipeline.text.vocabulary import PADDING_ID

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingOutcome:
    """What came of a run.

    Args:
        summary: How far it went and how good it was: `epochs` (begun), `steps`, `words`, `best_epoch`, `best_step`,
            `best_validation_loss` (nats per word), `ended_by` (`epochs`, `max_steps`, `max_minutes` or `interrupt`).
        history: See `TrainingRecord.history`.
        speed: See `TrainingRecord.speed`.
    """

    summary: dict[str, MetadataValue]
    history: pd.DataFrame
    speed: pd.DataFrame


def train(
    model: MiniGPT,
    train_sequences: np.ndarray,
    validation_sequences: np.ndarray,
    training: TrainingParameters,
    training_log: TrainingLog,
    *,
    precision: str = "float32",
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainingOutcome:
    """Train a model in place; at the end it has the weights of the lowest validation loss.

    Args:
        model: A float32 model. Callbacks see this one, whatever the precision of the steps.
        train_sequences: int32, (num_reviews, sequence_length + 1), words first, then padding (0).
        validation_sequences: int32, (num_reviews, sequence_length + 1).
        training: Optimizer, limits, and how often to log and to look at the validation reviews.
        training_log: Takes `train/loss`, `val/loss` and their kind while the run goes on.
        precision: Of the steps: `float32`, `mixed_bfloat16` or `mixed_float16`.
        callbacks: Called at the beginning and end of training, at the beginning of each epoch and at the end of each
            whole one.

    Raises:
        ValueError: If there is no review to train on, or none to validate on.
        FloatingPointError: If the loss is no longer a finite number.
        KeyboardInterrupt: If Ctrl-C is pressed a second time.
    """
    for name, sequences in (("train", train_sequences), ("validation", validation_sequences)):
        if not (sequences[:, 1:] != PADDING_ID).any():
            raise ValueError(
                f"The {name} part, {len(sequences)} reviews, has no word to predict: "
                "look at the split in conf/base/parameters_vectorization.yml and at what validation rejected"
            )
    with showing_progress() as progress, interruptible() as interruption:
        loop = _TrainingLoop(model, train_sequences, validation_sequences, training, training_log, precision)
        loop.run(keras.callbacks.CallbackList(list(callbacks), model=model), progress, interruption)
    loop.finish()
    return TrainingOutcome(loop.summary(), loop.record.history(), loop.record.speed())


class _TrainingLoop:
    """The state of one run."""

    def __init__(
        self,
        model: MiniGPT,
        train_sequences: np.ndarray,
        validation_sequences: np.ndarray,
        training: TrainingParameters,
        training_log: TrainingLog,
        precision: str,
    ) -> None:
        self.started = time.monotonic()
        self.model = model
        # The dropout of a copy draws from the seed, whatever was drawn since the model was made.
        keras.utils.set_random_seed(training.seed)
        self.trained = model if precision == "float32" else model.in_precision(precision)
        self.train_sequences = train_sequences
        self.validation_sequences = validation_sequences
        self.training = training
        self.record = TrainingRecord(training_log)
        self.optimizer = make_optimizer(training.optimizer, precision)
        length = train_sequences.shape[1] - 1
        self.step_function = compile_step(self.trained, self.optimizer, (training.batch_size, length))
        self.evaluator = Evaluator(model, training.batch_size)
        self.batches_per_epoch = count_batches(len(train_sequences), training.batch_size)
        self.last_step = min(training.epochs * self.batches_per_epoch, training.max_steps or math.inf)

        self.epoch = self.step = self.words = 0
        self.best_epoch = self.best_step = self.evaluated_step = -1
        self.best_loss = math.inf
        self.best_weights: list[np.ndarray] = []
        self.ended_by = ""
        self.unread_losses: list[tuple[int, Any, Any]] = []  # (step, summed loss, words), still on the device
        self.seconds_in_steps = 0.0

    def run(
        self, callbacks: keras.callbacks.CallbackList, progress: ProgressDisplay, interruption: Interruption
    ) -> None:
        """Train until a limit is reached or the user asks to end."""
        try:
            callbacks.on_train_begin()
            while not self.ended_by:
                callbacks.on_epoch_begin(self.epoch)
                self._run_epoch(progress, interruption)
                if self.step == self.epoch * self.batches_per_epoch:
                    self._evaluate()
                    callbacks.on_epoch_end(self.epoch - 1)
                    self.ended_by = self.ended_by or self._reached_limit(interruption)
            callbacks.on_train_end()
        except KeyboardInterrupt:
            if interruption.requested:  # the second one
                raise
            self.ended_by = "interrupt"

    def _run_epoch(self, progress: ProgressDisplay, interruption: Interruption) -> None:
        order = shuffle_epoch(len(self.train_sequences), self.training.seed, self.epoch)
        self.epoch += 1
        for batch in make_batches(self.train_sequences[order], self.training.batch_size):
            self._take_step(batch)
            if self.step % self.training.log_every_steps == 0:
                self._log_losses(progress)
            if self.training.evaluate_every_steps and self.step % self.training.evaluate_every_steps == 0:
                self._evaluate()
            self.ended_by = self._reached_limit(interruption)
            if self.ended_by:
                return

    def _take_step(self, batch: np.ndarray) -> None:
        started = time.monotonic()
        loss_sum, num_words = self.step_function(*make_language_model_pairs(batch))
        self.step += 1
        self.words += int((batch[:, 1:] != PADDING_ID).sum())
        self.unread_losses.append((self.step, loss_sum, num_words))
        self.seconds_in_steps += time.monotonic() - started

    def _reached_limit(self, interruption: Interruption) -> str:
        """Name the limit that is reached; empty while there is none."""
        if interruption.requested:
            return "interrupt"
        if self.training.max_steps is not None and self.step >= self.training.max_steps:
            return "max_steps"
        if self.step >= self.training.epochs * self.batches_per_epoch:
            return "epochs"
        return "max_minutes" if self._share_of_time() >= 1 else ""

    def _share_of_time(self) -> float:
        if self.training.max_minutes is None:
            return 0.0
        return (time.monotonic() - self.started) / (60 * self.training.max_minutes)

    def _log_losses(self, progress: ProgressDisplay | None = None) -> None:
        """Read the losses since the last time from the device, in one go: reading each would make it wait."""
        started = time.monotonic()
        losses = [(step, float(loss_sum), float(words)) for step, loss_sum, words in self.unread_losses]
        self.seconds_in_steps += time.monotonic() - started
        if not losses:
            return
        for step, loss_sum, _ in losses:
            self._check_finite("training", step, loss_sum)
        words = sum(words for _, _, words in losses)
        loss = sum(loss_sum for _, loss_sum, _ in losses) / max(words, 1.0)
        tokens_per_second = words / self.seconds_in_steps
        metrics = {
            "train/loss": loss,
            "train/perplexity": perplexity(loss),
            "train/learning_rate": float(self.optimizer.learning_rate),
        }
        self._add(metrics)
        self.record.add_speed(
            step=self.step, seconds=time.monotonic() - self.started, tokens_per_second=tokens_per_second
        )
        self.unread_losses, self.seconds_in_steps = [], 0.0
        if progress:
            progress.show(
                max(self.step / self.last_step, self._share_of_time()),
                f"Epoch {self.epoch}, step {self.step}: loss {loss:.3f}, {tokens_per_second:,.0f} words/s",
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
        if self.evaluated_step == self.step:
            return
        self._log_losses()
        if self.trained is not self.model:
            self.model.set_weights(self.trained.get_weights())
        measured = self.evaluator.evaluate(self.validation_sequences)
        self._check_finite("validation", self.step, measured["loss"])
        self.evaluated_step = self.step
        self._add({f"val/{name}": measured[name] for name in ("loss", "perplexity", "unk_rate")})
        logger.info("Epoch %d, step %d: validation loss %.4f", self.epoch, self.step, measured["loss"])
        if measured["loss"] < self.best_loss:
            self.best_loss, self.best_epoch, self.best_step = measured["loss"], self.epoch, self.step
            self.best_weights = self.model.get_weights()

    def _add(self, metrics: dict[str, float]) -> None:
        self.record.add(epoch=self.epoch, step=self.step, words=self.words, metrics=metrics)

    def finish(self) -> None:
        """Measure a last time, and give the model its best weights."""
        if self.ended_by == "interrupt":
            logger.warning(
                "Interrupted at step %d: the last weights are measured and the best ones kept", self.step
            )
        self._evaluate()
        self.model.set_weights(self.best_weights)
        logger.info(
            "Training ended by %s after %d steps; kept the weights of step %d, validation loss %.4f",
            self.ended_by,
            self.step,
            self.best_step,
            self.best_loss,
        )

    def summary(self) -> dict[str, MetadataValue]:
        """Return what `TrainingOutcome.summary` says."""
        return {
            "epochs": self.epoch,
            "steps": self.step,
            "words": self.words,
            "best_epoch": self.best_epoch,
            "best_step": self.best_step,
            "best_validation_loss": self.best_loss,
            "ended_by": self.ended_by,
        }
