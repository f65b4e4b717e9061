"""What the model writes while it learns."""

import logging
from typing import Any

import keras

from minigpt_pipeline.model.generation import Writer, check_generation, make_sample_rows
from minigpt_pipeline.model.training_log import SampleLog
from minigpt_pipeline.parameters import GenerationParameters
from minigpt_pipeline.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

PRINTED_PROMPTS = 5
"""Prompts of which a text is printed; all texts are recorded."""


class TextGenerator(keras.callbacks.Callback):
    """Writes a text for each prompt and seed at the end of every n-th epoch, prints some and records them all.

    Args:
        tokenizer: Of the model.
        generation: Prompts, seeds, and how tokens are chosen.
        every_epochs: n.
        training_log: Takes the rows.
        has_learnt_ends: Whether the model learns where reviews end.

    Raises:
        ValueError: If the model will not be able to write these texts; see `check_generation`.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        generation: GenerationParameters,
        every_epochs: int,
        training_log: SampleLog,
        has_learnt_ends: bool = False,
    ) -> None:
        super().__init__()
        check_generation(tokenizer, generation, has_learnt_ends)
        self.tokenizer = tokenizer
        self.generation = generation
        self.every_epochs = every_epochs
        self.training_log = training_log
        self.has_learnt_ends = has_learnt_ends

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write where an n-th epoch has ended.

        Args:
            epoch: Counted from 0, as Keras does; the rows count from 1.
            logs: Not used.
        """
        epochs_done = epoch + 1
        if epochs_done % self.every_epochs:
            return
        writer = Writer(self.model, self.has_learnt_ends)
        rows = make_sample_rows(writer, self.tokenizer, self.generation, epochs_done)
        self.training_log.log_samples(rows)
        first_texts = [row["readable_text"] for row in rows if row["sample"] == 0]
        for text in first_texts[:PRINTED_PROMPTS]:
            logger.info("Epoch %d writes: %s", epochs_done, text)
