"""What the models read: real reviews where there are any, else words drawn as words fall in texts."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.options import Options
from benchmarks.project import copy_project
from benchmarks.reference import example_sizes

SEED = 2017
REVIEW_LENGTHS = (5.41, 0.64)
"""Mean and standard deviation of the logarithm of a real review's number of words: median 207, mean 276."""

ZIPF_OFFSET, ZIPF_EXPONENT = 2.7, 1.2
"""So that, as in real reviews, 88 % of all words are among the 2,000 most frequent and 92 % among the first 4,000."""

TRAIN_FILE = "05_model_input/train_token_ids.parquet"
TOKENIZER_FILE = "04_feature/tokenizer.json"


@dataclass(frozen=True)
class Corpus:
    """Sequences to train on.

    Args:
        file: A NumPy file, int32, (num_sequences, sequence_length + 1); 0 is padding.
        vocabulary_size: Words, padding and `[UNK]` included.
        source: `real reviews` or `synthetic words`.
    """

    file: Path
    vocabulary_size: int
    source: str


def make_corpus(options: Options, num_sequences: int, sequence_length: int) -> Corpus:
    """Take the beginnings of reviews, in an order drawn from a seed; every variant reads the same."""
    data = find_data(options)
    if data is None:
        sequences = draw_sequences(num_sequences, sequence_length, example_sizes.VOCABULARY_SIZE)
        return _save(sequences, example_sizes.VOCABULARY_SIZE, "synthetic words", options.folder)

    from minigpt_pipeline.datasets import ArrowTableDataset, TokenizerDataset
    from minigpt_pipeline.text.sequences import truncate

    table = ArrowTableDataset(filepath=str(data / TRAIN_FILE)).load()
    rows = np.random.default_rng(SEED).permutation(len(table))[:num_sequences]
    tokenizer = TokenizerDataset(filepath=str(data / TOKENIZER_FILE)).load()
    sequences = truncate(table.take(rows), sequence_length)
    return _save(sequences, len(tokenizer), "real reviews", options.folder)


def find_data(options: Options) -> Path | None:
    """Return a data folder with the token ids of the real reviews, made from their archive where need be."""
    if (options.data / TRAIN_FILE).is_file() and (options.data / TOKENIZER_FILE).is_file():
        return options.data
    if not os.environ.get("MINIGPT_IMDB_ARCHIVE"):
        return None
    project = options.folder / "real_reviews"
    if not project.exists():
        subprocess.run(
            [sys.executable, "-m", "kedro", "run", "--pipelines", "data", "--env", "base"],
            cwd=copy_project(project),
            capture_output=True,
            check=True,
        )
    return project / "data"


def draw_sequences(
    num_sequences: int, sequence_length: int, vocabulary_size: int, *, seed: int = SEED
) -> np.ndarray:
    """Draw words by the law of Zipf and Mandelbrot, in reviews as long as real ones.

    Args:
        num_sequences: Reviews.
        sequence_length: Context, in tokens.
        vocabulary_size: Words, padding and `[UNK]` included.
        seed: Of the draws.

    Returns:
        int32, (num_sequences, sequence_length + 1), padded on the right with 0.

    References:
        Mandelbrot, 1953: the word of rank r has a share proportional to 1 / (r + offset) ** exponent.
    """
    rng = np.random.default_rng(seed)
    shares = (
        np.arange(1, vocabulary_size) + ZIPF_OFFSET
    ) ** -ZIPF_EXPONENT  # (vocabulary_size - 1,), of the ids from 1 on
    cumulated = np.cumsum(shares / shares.sum())
    drawn = np.searchsorted(cumulated, rng.random((num_sequences, sequence_length + 1)))
    sequences = np.minimum(drawn + 1, vocabulary_size - 1).astype(np.int32)
    lengths = rng.lognormal(*REVIEW_LENGTHS, size=num_sequences)
    sequences[np.arange(sequence_length + 1) >= lengths[:, None]] = 0
    return sequences


def _save(sequences: np.ndarray, vocabulary_size: int, source: str, folder: Path) -> Corpus:
    file = folder / "sequences.npy"
    np.save(file, sequences)
    return Corpus(file, vocabulary_size, source)
