"""The same held-out words under models that may have different tokens: what they are compared by."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.parameters import SplitParameters
from minigpt_pipeline.progress import showing_progress
from minigpt_pipeline.text.encoding import encode_parts
from minigpt_pipeline.text.evaluation_windows import MEASURED_WORDS, make_evaluation_windows
from minigpt_pipeline.text.spelling_model import train_spelling_model
from minigpt_pipeline.text.token_places import cut_reviews
from minigpt_pipeline.text.tokenizer import Tokenizer
from minigpt_pipeline.text.vocabulary import count_words
from minigpt_pipeline.text.word_losses import WordLosses, spell_unknown_words


@dataclass(frozen=True)
class HeldOutReviews:
    """Words 2 to 81 of the reviews of the validation films.

    Args:
        candidate: The model that others are held against.
        train_token_ids: Columns `token_ids` and `unknown_words`, in its tokens, of the training films.
        validation_token_ids: The same of the validation films.
        reviews: All reviews, as pieces with the columns `review_id`, `movie_id`, `rating` and `text`; read for other
            tokenizers only.
        shares: Of the films.
        batch_size: Windows read at once; it changes the speed, not the measure.
    """

    candidate: TrainedModel
    train_token_ids: pa.Table
    validation_token_ids: pa.Table
    reviews: Iterable[pa.RecordBatch]
    shares: SplitParameters
    batch_size: int
    _encoded: dict[str, tuple[pa.Table, pa.Table]] = field(default_factory=dict)

    @cached_property
    def losses(self) -> WordLosses:
        """Those of the candidate."""
        return self.score(self.candidate)

    def score(self, trained_model: TrainedModel) -> WordLosses:
        """Measure a model.

        Raises:
            ValueError: If there is no word to score.
        """
        from minigpt_pipeline.model.evaluation import Evaluator

        model, tokenizer = trained_model.load_model(), trained_model.tokenizer
        _, validation = self._encode(tokenizer)
        windows = make_evaluation_windows(
            validation, tokenizer, model.sequence_length, None, trained_model.has_learnt_ends
        )
        with showing_progress("Measuring losses", len(windows.scored), "tokens") as advance:
            return Evaluator(model, self.batch_size).score(windows, advance)

    def compare(self, trained_model: TrainedModel, losses: WordLosses) -> tuple[WordLosses, bool]:
        """Hold the candidate against a model, word by word.

        Args:
            trained_model: Which.
            losses: What `score` has measured of it.

        Returns:
            The candidate's losses less the model's; and whether both have the same tokens. Where they have not, both
            losses include the spelling of the words that are `[UNK]` to a model, as the training films teach it, so
            that they are of the same characters.

        Raises:
            ValueError: If the two split the reviews into different words.
        """
        tokenizer = trained_model.tokenizer
        if tokenizer.digest == self.candidate.tokenizer.digest:
            return self.losses.less(losses), True
        return self._spell(self.losses, self.candidate.tokenizer).less(self._spell(losses, tokenizer)), False

    def _spell(self, losses: WordLosses, tokenizer: Tokenizer) -> WordLosses:
        train, validation = self._encode(tokenizer)
        train_words, words = (table["unknown_words"].combine_chunks() for table in (train, validation))
        spelling_model = train_spelling_model(count_words(train_words))
        surprisals = spelling_model.surprisals(words.flatten().to_pylist())
        return spell_unknown_words(losses, validation, tokenizer, surprisals)

    def _encode(self, tokenizer: Tokenizer) -> tuple[pa.Table, pa.Table]:
        """Return the reviews of the training films, and the first words of those of the validation films."""
        if tokenizer.digest not in self._encoded:
            if tokenizer.digest == self.candidate.tokenizer.digest:
                train, validation = self.train_token_ids, self.validation_token_ids
            else:
                train, validation, _ = encode_parts(self.reviews, tokenizer, self.shares)
            self._encoded[tokenizer.digest] = train, cut_reviews(validation, tokenizer, MEASURED_WORDS)[0]
        return self._encoded[tokenizer.digest]
