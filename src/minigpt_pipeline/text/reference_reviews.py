"""Reviews of people, and the figures of generated texts beside theirs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from minigpt_pipeline.text.kneser_ney import NgramModel
from minigpt_pipeline.text.sequences import truncate
from minigpt_pipeline.text.text_quality import (
    Texts,
    measure_texts,
    pair_with_reviews,
    repeated_4gram_shares,
)
from minigpt_pipeline.text.token_tables import check_tokens, tell_unknown_words_apart
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.training_copies import TrainingCopies
from minigpt_pipeline.text.vocabulary import PADDING_ID
from minigpt_pipeline.text.word_losses import NUM_RESAMPLES, perplexity

RATIOS = ("seq_rep_4", "distinct_2", "kneser_ney_perplexity", "copied_8gram_share")
"""Figures that are best where they are as people's."""

INTERVAL_SEED = 0
"""Of the samples of texts and reviews that an interval comes from."""


@dataclass(frozen=True)
class ReferenceReviews:
    """People's reviews that generated texts begin like, and are measured beside.

    People write words that no text of a model can have. Each such word is a word of its own here, and not one `[UNK]`:
    else people would seem to have fewer words, and to copy whatever has an `[UNK]` at the same place.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,): reviews that no model was trained on; what the
            tokenizer does not know has ids from `len(tokenizer)` on.
        training: The reviews that a text may have been copied from, with the same ids.
        ngram_model: Of the same; says how likely a text is for who counts tokens alone. To it unknown words are one.
        tokenizer: Whose ids the others are.
    """

    token_ids: pa.Table
    training: TrainingCopies
    ngram_model: NgramModel
    tokenizer: Tokenizer

    @classmethod
    def choose(
        cls,
        held_out: pa.Table,
        train: pa.Table,
        ngram_model: NgramModel,
        tokenizer: Tokenizer,
        num_reviews: int,
    ) -> Self:
        """Choose reviews (see `choose_reviews`) to stand beside texts.

        Args:
            held_out: Columns `token_ids` and `unknown_words`: reviews that no model was trained on.
            train: The same of those that models are trained on.
            ngram_model: Of these.
            tokenizer: Whose ids they are.
            num_reviews: How many to take; all where there are fewer.

        Raises:
            ValueError: If no review begins with a word of the vocabulary, or the ids are another tokenizer's.
        """
        check_tokens(train, tokenizer)
        chosen = choose_reviews(held_out, tokenizer, num_reviews)
        reviews, training = tell_unknown_words_apart([chosen, train], tokenizer)
        return cls(reviews, TrainingCopies(training), ngram_model, tokenizer)

    @property
    def beginnings(self) -> list[list[int]]:
        """The tokens of the first word of each review: the one that the measure does not score."""
        return list_beginnings(self.token_ids, self.tokenizer)

    def measure(self, texts: Texts, ended: Sequence[bool], max_tokens: int) -> dict[str, float]:
        """Measure generated texts, and as many reviews, each cut to the length of a text.

        Args:
            texts: Token ids of each text, one at least, its first word among them.
            ended: Whether each ended by itself, and not because it had `max_tokens`.
            max_tokens: Tokens that each text had room for, its first word counted as one.

        Returns:
            Of all texts `mean_length`, `ended_share`, and `unk_rate`, the share of `[UNK]` in all tokens but the first.
            `texts`, how many found a review as long as they are; of these the figures of `measure_texts`, and
            `kneser_ney_perplexity`, of all tokens but the first. All but `texts` once more as `human_...`: a review has
            ended if it has fewer than `max_tokens`, and is cut there if not, or at the length of its text. For
            `RATIOS` the `..._ratio` of the two, where people's is not zero; `seq_rep_4_ratio`, which few texts and
            reviews decide, also with its 95 % interval, `..._low` and `..._high`.
        """
        paired, paired_reviews = pair_with_reviews(texts, self.token_ids)
        own = self._describe_ends(_to_matrix(texts), ended) | self._measure(paired)
        human = self._describe_reviews(max_tokens) | self._measure(paired_reviews)
        ratios = {
            f"{name}_ratio": own[name] / human[name] for name in RATIOS if name in own and human.get(name)
        }
        return {
            "texts": float(len(paired)),
            **own,
            **{f"human_{name}": value for name, value in human.items()},
            **ratios,
            **_seq_rep_4_interval(paired, paired_reviews),
        }

    def measure_ends(self, texts: Texts, ended: Sequence[bool], max_tokens: int) -> dict[str, float]:
        """Hold the lengths of texts that were written until they ended against those of the reviews.

        Args:
            texts: Token ids of each text, its first word among them.
            ended: Whether each ended by itself, and not because it had `max_tokens`.
            max_tokens: Tokens that each text had room for, its first word counted as one.

        Returns:
            `whole_mean_length` and `whole_ended_share`, once more as `human_...`: of all reviews, each cut where a text
            is; and `whole_mean_length_ratio`.
        """
        own = self._describe_ends(_to_matrix(texts), ended)
        human = self._describe_reviews(max_tokens)
        figures = {
            f"{prefix}whole_{name}": them[name]
            for prefix, them in (("", own), ("human_", human))
            for name in ("mean_length", "ended_share")
        }
        return figures | {"whole_mean_length_ratio": own["mean_length"] / human["mean_length"]}

    def _measure(self, texts: Texts) -> dict[str, float]:
        if not texts:
            return {}
        figures = measure_texts(texts, self.training)
        del figures["mean_length"]  # of these texts it is people's by construction
        sequences = _to_matrix(texts)
        if sequences.shape[1] > 1:
            mean_loss = self.ngram_model.mean_loss(self._join_unknown_words(sequences))
            figures["kneser_ney_perplexity"] = perplexity(mean_loss)
        return figures

    def _join_unknown_words(self, token_ids: np.ndarray) -> np.ndarray:
        unknown_id = self.tokenizer.unknown_id
        return (
            token_ids
            if unknown_id is None
            else np.where(token_ids < len(self.tokenizer), token_ids, unknown_id)
        )

    def _describe_reviews(self, max_tokens: int) -> dict[str, float]:
        reviews = truncate(self.token_ids, max_tokens - 1)  # (num_reviews, max_tokens)
        has_ended = pc.less(pc.list_value_length(self.token_ids["token_ids"]), max_tokens)
        return self._describe_ends(reviews, has_ended.to_pylist())

    def _describe_ends(self, sequences: np.ndarray, ended: Sequence[bool]) -> dict[str, float]:
        """Return the figures that need no other texts of equal length.

        Args:
            sequences: int32, (num_texts, num_tokens), padded on the right with 0.
            ended: Whether each ended by itself.
        """
        later_tokens = self._join_unknown_words(sequences[:, 1:])
        num_unknown = (later_tokens == self.tokenizer.unknown_id).sum()
        num_tokens = (later_tokens != PADDING_ID).sum()
        return {
            "mean_length": float((sequences != PADDING_ID).sum(axis=1).mean()),
            "ended_share": float(np.mean(ended)),
            "unk_rate": float(num_unknown / num_tokens) if num_tokens else 0.0,
        }


def _seq_rep_4_interval(texts: Texts, reviews: Texts) -> dict[str, float]:
    """Resample texts and reviews; nothing where the interval would have no end, or there is no 4-gram."""
    shares = [repeated_4gram_shares(them) for them in (texts, reviews) if them]
    if not shares or not all(map(len, shares)):
        return {}
    rng = np.random.default_rng(INTERVAL_SEED)
    own, human = (
        rng.choice(values, (NUM_RESAMPLES, len(values))).mean(axis=1) for values in shares
    )  # (NUM_RESAMPLES,) each
    if not human.all():
        return {}
    low, high = np.quantile(own / human, [0.025, 0.975])
    return {"seq_rep_4_ratio_low": float(low), "seq_rep_4_ratio_high": float(high)}


def _to_matrix(texts: Texts) -> np.ndarray:
    """Return the texts as int32, (num_texts, tokens of the longest), padded on the right with 0."""
    lists = pa.array([np.asarray(text, dtype=np.int32) for text in texts], pa.list_(pa.int32()))
    return truncate(pa.table({"token_ids": lists}), max(map(len, texts)) - 1)


def list_beginnings(token_ids: pa.Table, tokenizer: Tokenizer) -> list[list[int]]:
    """Return the tokens of the first word of each review.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,); no review is empty.
        tokenizer: Whose ids they are.
    """
    parts_of_words = set(np.flatnonzero(~tokenizer.starts_word))
    return [
        [first, *takewhile(parts_of_words.__contains__, others)]
        for first, *others in token_ids["token_ids"].to_pylist()
    ]


def choose_reviews(token_ids: pa.Table, tokenizer: Tokenizer, count: int) -> pa.Table:
    """Take reviews from all over a table, which is sorted by what people thought of the film.

    Args:
        token_ids: Column `token_ids`, list of int32, (num_reviews,).
        tokenizer: Whose ids they are.
        count: How many to take; all where there are fewer.

    Returns:
        Rows of the table in their order: of those that don't begin with `[UNK]`, as far apart as can be.

    Raises:
        ValueError: If no review begins with a word of the vocabulary, or the ids are another tokenizer's.
    """
    check_tokens(token_ids, tokenizer)
    has_words = pc.greater(pc.list_value_length(token_ids["token_ids"]), 0)
    with_words = token_ids.filter(has_words)
    unknown_id = PADDING_ID if tokenizer.unknown_id is None else tokenizer.unknown_id
    known = with_words.filter(pc.not_equal(pc.list_element(with_words["token_ids"], 0), unknown_id))
    if not len(known):
        raise ValueError(
            f"None of {len(token_ids)} held-out reviews begins with a word of the vocabulary: expected one at least "
            "for generated texts to begin like"
        )
    chosen = np.arange(min(count, len(known))) * len(known) // min(count, len(known))
    return known.take(pa.array(chosen))
