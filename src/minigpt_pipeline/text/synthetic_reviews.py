"""The embedded corpus: film reviews written by a grammar, and their exact probability.

A review has a hidden rating and the genre of its film, both drawn evenly. Topic by topic (`synthetic_grammar`) it takes
a sentence and fills its slots with words (`synthetic_words`): words of opinion agree with the rating, the hero's role
and place with the genre, and the film's title, people, role and place are drawn once, so that they return.

Why the probability is exact: rating, genre and words so far fix the probability of the next word. The words so far fix
the state of the automaton, and which of the film's words are known: they return with probability one. Rating and genre
are summed out by a forward sum over their 48 pairs: with w_z = p(z) p(words so far | z), the next word has probability
sum_z w_z p(word | z) / sum_z w_z p(review goes on | z). Whether a review ends is never counted.

How a text is written (capital letters, line breaks) is drawn apart and leaves no trace in its standardized words.

    python -m minigpt_pipeline.text.synthetic_reviews data/01_raw/sample_reviews.tar.gz
"""

import argparse
import gzip
import io
import itertools
import math
import random
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from minigpt_pipeline.files import replacing
from minigpt_pipeline.text.synthetic_grammar import (
    SLOT,
    TOPICS,
    Topic,
    build_automaton,
    choose_article,
)
from minigpt_pipeline.text.synthetic_words import GENRES, RATINGS, WORD_CLASSES
from minigpt_pipeline.text.vocabulary import UNKNOWN

NUM_REVIEWS = 4000
SEED = 1895
"""Of the archive in the repository."""

_REVIEWS_PER_FILM = {1: 0.40, 2: 0.25, 3: 0.15, 4: 0.10, 5: 0.06, 6: 0.04}


@dataclass(frozen=True)
class Film:
    """What all reviews of a film have in common.

    Args:
        genre: One of `GENRES`.
        words: Its title, people, hero, role and place: a word of each class that `is_of_film`.
    """

    genre: str
    words: Mapping[str, str]


@dataclass(frozen=True)
class Review:
    """A text and its rating, 1 to 4 or 7 to 10 stars."""

    text: str
    rating: int


def draw_film(rng: random.Random) -> Film:
    """Draw a film from the distribution that `log_probabilities` assumes."""
    genre = rng.choice(GENRES)
    # No class of a film depends on the rating, so that any will do.
    words = {name: _draw_word(name, RATINGS[0], genre, rng) for name, c in WORD_CLASSES.items() if c.is_of_film}
    return Film(genre, words)


def write_review(film: Film, rng: random.Random) -> Review:
    """Write a review of a film, with a rating of its own."""
    rating = rng.choice(RATINGS)
    sentences = []
    for topic in TOPICS:
        if rng.random() < topic.probability:
            sentence = rng.choice(_list_sentences(topic, rating))
            sentences.append(_fill_slots(sentence, film, rating, rng))
    return Review(_lay_out(sentences, rng), rating)


def fresh_reviews(num_reviews: int, seed: int) -> list[Review]:
    """Write reviews, each of a new film."""
    rng = random.Random(seed)  # noqa: S311 - texts, not secrets
    return [write_review(draw_film(rng), rng) for _ in range(num_reviews)]


def _list_sentences(topic: Topic, rating: int) -> tuple[str, ...]:
    return topic.sentences + (topic.praise if rating > 5 else topic.blame)


@cache
def _cumulate_weights(name: str, rating: int, genre: str) -> list[float]:
    weights = WORD_CLASSES[name].probabilities
    weights = np.broadcast_to(weights, (len(RATINGS), len(GENRES), weights.shape[-1]))
    return list(itertools.accumulate(weights[RATINGS.index(rating), GENRES.index(genre)].tolist()))


def _draw_word(name: str, rating: int, genre: str, rng: random.Random) -> str:
    return rng.choices(WORD_CLASSES[name].words, cum_weights=_cumulate_weights(name, rating, genre))[0]


def _fill_slots(sentence: str, film: Film, rating: int, rng: random.Random) -> str:
    """Return the sentence with words in its slots, the first letter a capital."""

    def fill(match: re.Match[str]) -> str:
        article, name = match.groups()
        word_class = WORD_CLASSES[name]
        word = film.words[name] if word_class.is_of_film else _draw_word(name, rating, film.genre, rng)
        shown = word.capitalize() if word_class.is_name else word
        return f"{choose_article(word)} {shown}" if article else shown

    filled = SLOT.sub(fill, sentence)
    return filled[0].upper() + filled[1:]


def _lay_out(sentences: Sequence[str], rng: random.Random) -> str:
    """Join sentences as people write: some in paragraphs, some without capitals, some with a word that shouts."""
    has_paragraphs = rng.random() < 0.4
    text = sentences[0]
    for sentence in sentences[1:]:
        text += ("<br /><br />" if has_paragraphs and rng.random() < 0.25 else " ") + sentence
    style = rng.random()
    if style < 0.1:
        return text.lower()
    if style < 0.3:
        shouted = rng.choice([match for match in re.finditer(r"\b[a-z]{4,}\b", text)])
        return text[: shouted.start()] + shouted[0].upper() + text[shouted.end() :]
    return text


class ReviewReader:
    """Reads a review word by word and knows how likely each word is to come next."""

    def __init__(self) -> None:
        self._state = build_automaton()
        self._film_words: dict[str, str] = {}
        self._num_words = 0
        num_pairs = len(RATINGS) * len(GENRES)
        self._posterior = np.full((len(RATINGS), len(GENRES)), 1 / num_pairs)
        """Of rating and genre, given the words so far, (num_ratings, num_genres)."""

    def list_next_words(self) -> dict[str, float]:
        """Return the probability of each word that can come next, given that the review goes on; they sum to one.

        Empty where a review always ends.
        """
        candidates = {word: self._weigh(word).sum() for word in self._state.edge_by_word}
        goes_on = self._weigh_going_on()
        return {word: float(weight / goes_on) for word, weight in candidates.items() if weight > 0}

    def read(self, word: str) -> float:
        """Go on by one word.

        Returns:
            The word's log-probability, in nats, given that the review goes on.

        Raises:
            ValueError: If the grammar can't write the word here.
        """
        weight = self._weigh(word)
        total = weight.sum()
        if total <= 0:
            raise ValueError(self._explain_refusal(word))
        log_probability = math.log(total / self._weigh_going_on())
        self._posterior = weight / total
        edge = self._state.edge_by_word[word]
        if edge.film_slot is not None:
            self._film_words[edge.film_slot] = word
        self._state = edge.target
        self._num_words += 1
        return log_probability

    def _weigh(self, word: str) -> np.ndarray:
        """Return p(rating, genre, word | words so far), (num_ratings, num_genres)."""
        edge = self._state.edge_by_word.get(word)
        if edge is None:
            return np.zeros_like(self._posterior)
        weight = self._posterior * edge.probability
        known = self._film_words.get(edge.film_slot) if edge.film_slot is not None else None
        if known is not None:
            return weight * (known == word)
        return weight * edge.words[word]

    def _weigh_going_on(self) -> float:
        """Return the probability that the review goes on, given the words so far."""
        return float(sum((self._posterior * edge.probability).sum() for edge in self._state.edges))

    def _explain_refusal(self, word: str) -> str:
        place = f"as word {self._num_words + 1} of a review"
        if word == UNKNOWN:
            return (
                f"The probability of {UNKNOWN} {place} is not known: give the words themselves, "
                "or take a vocabulary_size in which every word of the corpus has its place"
            )
        expected = sorted(self.list_next_words())
        return (
            f"The grammar can't write {word!r} {place}: expected one of {len(expected)} words, "
            f"such as {expected[:5]}; log_probabilities knows the reviews of synthetic_reviews alone"
        )


def log_probabilities(words: Sequence[str]) -> np.ndarray:
    """Return the exact log-probability of each word of a review, given the words before it.

    Args:
        words: Standardized words, from the first one of the review on; it can be cut off anywhere.

    Returns:
        float64, (num_words,), in nats. Given that the review goes on: its end is not counted.

    Raises:
        ValueError: If the grammar can't write a word where it stands.
    """
    reader = ReviewReader()
    return np.array([reader.read(word) for word in words], dtype=np.float64)


def next_word_probabilities(words: Sequence[str]) -> dict[str, float]:
    """Return the probability of each word that can follow the first words of a review; they sum to one.

    Raises:
        ValueError: If the grammar can't write a word where it stands.
    """
    reader = ReviewReader()
    for word in words:
        reader.read(word)
    return reader.list_next_words()


def write_archive(path: Path, num_reviews: int = NUM_REVIEWS, seed: int = SEED) -> None:
    """Write reviews as an archive with the layout of the Large Movie Review Dataset; same seed, same bytes.

    Args:
        path: The `.tar.gz` to write.
        num_reviews: Reviews in all, about half of them in `train`; a film has one to six, all in one half.
        seed: Of everything that is drawn.
    """
    buffer = io.BytesIO()
    # Neither a file name nor a time in the headers: they would differ from one writing to the next.
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in sorted(write_members(num_reviews, seed).items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with replacing(path) as partial:
        partial.write_bytes(buffer.getvalue())


def write_members(num_reviews: int, seed: int) -> dict[str, bytes]:
    """Return the files of the archive, by name."""
    rng = random.Random(seed)  # noqa: S311 - texts, not secrets
    members: dict[str, bytes] = {}
    pages: dict[tuple[str, str], list[str]] = {
        (split, label): [] for split in ("train", "test") for label in ("pos", "neg")
    }
    remaining = num_reviews
    for film_number in itertools.count(1):
        if remaining == 0:
            break
        film = draw_film(rng)
        split = rng.choice(("train", "test"))
        count = rng.choices(list(_REVIEWS_PER_FILM), weights=list(_REVIEWS_PER_FILM.values()))[0]
        for _ in range(min(count, remaining)):
            review = write_review(film, rng)
            label = "pos" if review.rating > 5 else "neg"
            folder_pages = pages[split, label]
            members[f"aclImdb/{split}/{label}/{len(folder_pages)}_{review.rating}.txt"] = review.text.encode()
            folder_pages.append(f"http://www.imdb.com/title/tt{film_number:07d}/usercomments\n")
            remaining -= 1
    for (split, label), lines in pages.items():
        members[f"aclImdb/{split}/urls_{label}.txt"] = "".join(lines).encode()
    return members


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the embedded corpus again."""
    parser = argparse.ArgumentParser(prog="python -m minigpt_pipeline.text.synthetic_reviews", description=main.__doc__)
    parser.add_argument("output", type=Path, help="the .tar.gz to write, such as data/01_raw/sample_reviews.tar.gz")
    parser.add_argument("--num-reviews", type=int, default=NUM_REVIEWS, help="reviews in all (default %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of everything that is drawn (default %(default)s)")
    options = parser.parse_args(arguments)
    write_archive(options.output, options.num_reviews, options.seed)


if __name__ == "__main__":
    main()
