"""What a model is trained on, epoch by epoch. Each epoch is a function of its number and the seed alone."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from minigpt_pipeline.model.batches import shuffle_epoch
from minigpt_pipeline.text.sequences import count_packed, pack
from minigpt_pipeline.text.vocabulary import PADDING_ID


class TrainingSequences(Protocol):
    """Sequences of one width, in another order in each epoch."""

    learn_ends: bool
    """Whether the model shall learn where reviews end; see `losses.loss_of_batch`."""

    @property
    def sequence_length(self) -> int:
        """Tokens of the inputs."""

    @property
    def content(self) -> np.ndarray:
        """All that epochs are made of, int32, in one order."""

    def __len__(self) -> int:
        """Return the number of sequences of every epoch."""

    def of_epoch(self, epoch: int) -> np.ndarray:
        """Return the sequences of an epoch, int32, (num_sequences, sequence_length + 1).

        Args:
            epoch: Counted from 0.
        """

    def has_words(self) -> bool:
        """Return whether there is a word to predict."""


@dataclass(frozen=True)
class TruncatedSequences:
    """The beginning of each review.

    Args:
        sequences: int32, (num_reviews, sequence_length + 1), words first, then padding (0).
        seed: Of the orders.
    """

    sequences: np.ndarray
    seed: int
    learn_ends = False

    @property
    def sequence_length(self) -> int:
        """Tokens of the inputs."""
        return int(self.sequences.shape[1]) - 1

    @property
    def content(self) -> np.ndarray:
        """All that epochs are made of, int32, in one order."""
        return self.sequences

    def __len__(self) -> int:
        """Return the number of reviews."""
        return len(self.sequences)

    def of_epoch(self, epoch: int) -> np.ndarray:
        """Return the reviews in the order of the epoch."""
        shuffled: np.ndarray = self.sequences[shuffle_epoch(len(self), self.seed, epoch)]
        return shuffled

    def has_words(self) -> bool:
        """Return whether there is a word to predict."""
        return bool((self.sequences[:, 1:] != PADDING_ID).any())


@dataclass(frozen=True)
class PackedSequences:
    """All words of all reviews, without padding, cut at other places in each epoch.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,).
        sequence_length: Context of the model, in tokens.
        seed: Of the orders and the places.
    """

    token_ids: pa.Table
    sequence_length: int
    seed: int
    learn_ends = True

    @property
    def content(self) -> np.ndarray:
        """All that epochs are made of, int32, in one order."""
        return pack(self.token_ids, self.sequence_length, offset=0)

    def __len__(self) -> int:
        """Return the number of sequences that hold all words."""
        return count_packed(self.token_ids, self.sequence_length)

    def of_epoch(self, epoch: int) -> np.ndarray:
        """Cut the reviews anew, and return the sequences in the order of the epoch."""
        offset = int(np.random.default_rng([self.seed, epoch, 1]).integers(self.sequence_length))
        sequences = pack(self.token_ids, self.sequence_length, offset)
        shuffled: np.ndarray = sequences[shuffle_epoch(len(sequences), self.seed, epoch)]
        return shuffled

    def has_words(self) -> bool:
        """Return whether there is a word to predict."""
        return len(self) > 0
