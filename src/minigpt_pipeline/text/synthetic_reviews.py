"""The embedded corpus: film reviews written by a grammar, and their exact probability.

A review has a hidden rating and the genre of its film, both drawn evenly. Topic by topic (`synthetic_grammar`) it takes
a sentence and fills its slots with words (`synthetic_words`): words of opinion agree with the rating, the hero's role
and place with the genre, and the film's title, people, role and place are drawn once, so that they return.

Why the probability is exact: rating, genre and words so far fix the probability of the next word. The words so far fix
the state of the automaton, and which of the film's words are known: they return with probability one. Rating and genre
are summed out by a forward sum over their 48 pairs z: with w(z) = p(z) p(words so far | z), the next word has the
probability sum_z w(z) p(word | words so far, z) / sum_z w(z).

The end of a review is never counted, and need not be: the verdict is never left out and comes last, so that a review
goes on wherever it can. The probabilities of the next words sum to one.

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from minigpt_pipeline.files import replacing
from minigpt_pipeline.text.imdb import LABELS, SPLITS
from minigpt_pipeline.text.synthetic_grammar import (
    LIST,
    LIST_GOES_ON,
    LIST_ITEMS,
    SLOT,
    TOPICS,
    build_automaton,
    choose_article,
)
from minigpt_pipeline.text.synthetic_words import GENRES, POSITIVE_RATINGS, RATINGS, WORD_CLASSES
from minigpt_pipeline.text.vocabulary import UNKNOWN

NUM_REVIEWS = 4000
SEED = 1895
"""Of the archive in the repository."""

_REVIEWS_PER_FILM = {1: 0.60, 2: 0.20, 3: 0.10, 4: 0.05, 5: 0.03, 6: 0.02}
"""How often a film has so many reviews in the archive."""

# How reviews are written down; none of it changes a standardized word.
_PARAGRAPHS_SHARE = 0.4
_BREAK_SHARE = 0.25  # of the places between two sentences, in a review with paragraphs
_LOWER_CASE_SHARE = 0.1
_SHOUTING_SHARE = 0.2


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
    words = {
        name: _draw_word(name, RATINGS[0], genre, rng) for name, c in WORD_CLASSES.items() if c.is_of_film
    }
    return Film(genre, words)


def write_review(film: Film, rng: random.Random) -> Review:
    """Write a review of a film, with a rating of its own."""
    rating = rng.choice(RATINGS)
    sentences = []
    for topic in TOPICS:
        if rng.random() < topic.probability:
            sentence = rng.choice(topic.sentences)
            sentences.append(_fill_slots(sentence, film, rating, rng))
    return Review(_lay_out(sentences, rng), rating)


def fresh_reviews(num_reviews: int, seed: int) -> list[Review]:
    """Write reviews, each of a new film."""
    rng = random.Random(seed)  # noqa: S311 -- texts, not secrets # nosec B311
    return [write_review(draw_film(rng), rng) for _ in range(num_reviews)]


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
        if name == LIST.name:
            return SLOT.sub(fill, _draw_list(rng))
        word_class = WORD_CLASSES[name]
        word = film.words[name] if word_class.is_of_film else _draw_word(name, rating, film.genre, rng)
        shown = word.capitalize() if word_class.is_name else word
        return f"{choose_article(word)} {shown}" if article else shown

    filled = SLOT.sub(fill, sentence)
    return filled[0].upper() + filled[1:]


def _draw_list(rng: random.Random) -> str:
    """Return the slots of a list, with its full stop."""
    slots = rng.choice(LIST_ITEMS)
    while rng.random() < LIST_GOES_ON:
        slots += f" {{link}} {rng.choice(LIST_ITEMS)}"
    return f"{slots}."


def _lay_out(sentences: Sequence[str], rng: random.Random) -> str:
    """Join sentences as people write: some in paragraphs, some without capitals, some with a word that shouts."""
    break_share = _BREAK_SHARE if rng.random() < _PARAGRAPHS_SHARE else 0.0
    text = sentences[0]
    for sentence in sentences[1:]:
        text += ("<br /><br />" if rng.random() < break_share else " ") + sentence
    style = rng.random()
    if style < _LOWER_CASE_SHARE:
        return text.lower()
    if style < _LOWER_CASE_SHARE + _SHOUTING_SHARE:
        shouted = rng.choice(list(re.finditer(r"\b[a-z]{4,}\b", text)))
        return text[: shouted.start()] + shouted[0].upper() + text[shouted.end() :]
    return text


class ReviewReader:
    """Reads a review word by word and knows how likely each word is to come next."""

    def __init__(self) -> None:
        self._state = build_automaton()
        self._film_words: dict[str, str] = {}
        self._num_words = 0
        num_pairs = len(RATINGS) * len(GENRES)
        # Of rating and genre, given the words so far.
        self._posterior = np.full((len(RATINGS), len(GENRES)), 1 / num_pairs)  # (num_ratings, num_genres)

    def list_next_words(self) -> dict[str, float]:
        """Return the probability of each word that can come next; they sum to one. Empty at the end of a review."""
        candidates = {word: float(self._weigh(word).sum()) for word in self._state.edge_by_word}
        return {word: probability for word, probability in candidates.items() if probability > 0}

    def read(self, word: str) -> float:
        """Go on by one word.

        Returns:
            The word's log-probability, in nats, given the words before it.

        Raises:
            ValueError: If the grammar can't write the word here.
        """
        weight = self._weigh(word)
        probability = float(weight.sum())
        if probability <= 0:
            raise ValueError(self._explain_refusal(word))
        self._posterior = weight / probability
        edge = self._state.edge_by_word[word]
        if edge.film_slot is not None:
            self._film_words[edge.film_slot] = word
        self._state = edge.target
        self._num_words += 1
        return math.log(probability)

    def _weigh(self, word: str) -> np.ndarray:
        """Return p(rating, genre, word | words so far), (num_ratings, num_genres)."""
        edge = self._state.edge_by_word.get(word)
        if edge is None:
            return np.zeros_like(self._posterior)
        weight: np.ndarray = self._posterior * edge.probability
        known = self._film_words.get(edge.film_slot) if edge.film_slot else None
        if known is None:
            weight *= edge.words[word]
        elif known != word:
            weight *= 0.0
        return weight

    def _explain_refusal(self, word: str) -> str:
        place = f"as word {self._num_words + 1} of a review"
        if word == UNKNOWN:
            return (
                f"The probability of {UNKNOWN} {place} is not known: give the words themselves, "
                "or take a vocabulary_size in which every word of the corpus has its place"
            )
        candidates = sorted(self.list_next_words())
        expected = (
            f"one of {len(candidates)} words, such as {candidates[:5]}"
            if candidates
            else "the end of the review"
        )
        return (
            f"The grammar can't write {word!r} {place}: expected {expected}; "
            "log_probabilities knows the reviews of synthetic_reviews alone"
        )


def log_probabilities(words: Sequence[str]) -> np.ndarray:
    """Return the exact log-probability of each word of a review, given the words before it.

    Args:
        words: Standardized words, from the first one of the review on; it can be cut off anywhere.

    Returns:
        float64, (num_words,), in nats. The end of the review is not counted.

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
        num_reviews: Reviews in all, about half of them in `train`.
        seed: Of everything that is drawn.

    Raises:
        ValueError: If there is nothing to write.
    """
    buffer = io.BytesIO()
    # Neither a file name nor a time in the headers: they would differ from one writing to the next.
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in sorted(make_members(num_reviews, seed).items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with replacing(path) as partial:
        partial.write_bytes(buffer.getvalue())


def make_members(num_reviews: int = NUM_REVIEWS, seed: int = SEED) -> dict[str, bytes]:
    """Write the files of the archive, by name: a film has one to six reviews, all in `train` or all in `test`.

    Raises:
        ValueError: If there is nothing to write.
    """
    if num_reviews < 1:
        raise ValueError(f"num_reviews={num_reviews}: an archive needs at least one review")
    rng = random.Random(seed)  # noqa: S311 -- texts, not secrets # nosec B311
    members: dict[str, bytes] = {}
    pages: dict[tuple[str, str], list[str]] = {folder: [] for folder in itertools.product(SPLITS, LABELS)}
    for number, (film_number, split, film) in enumerate(_draw_films(rng)):
        if number == num_reviews:
            break
        review = write_review(film, rng)
        label = "pos" if review.rating in POSITIVE_RATINGS else "neg"
        folder_pages = pages[split, label]
        members[f"aclImdb/{split}/{label}/{len(folder_pages)}_{review.rating}.txt"] = review.text.encode()
        folder_pages.append(f"http://www.imdb.com/title/tt{film_number:07d}/usercomments\n")
    for (split, label), lines in pages.items():
        members[f"aclImdb/{split}/urls_{label}.txt"] = "".join(lines).encode()
    return members


def _draw_films(rng: random.Random) -> Iterator[tuple[int, str, Film]]:
    """Draw films for ever, each as often as it has reviews, with its number and its half of the archive."""
    for film_number in itertools.count(1):
        film, split = draw_film(rng), rng.choice(SPLITS)
        num_reviews = rng.choices(list(_REVIEWS_PER_FILM), weights=list(_REVIEWS_PER_FILM.values()))[0]
        yield from itertools.repeat((film_number, split, film), num_reviews)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the embedded corpus again."""
    parser = argparse.ArgumentParser(
        prog="python -m minigpt_pipeline.text.synthetic_reviews", description=main.__doc__
    )
    parser.add_argument(
        "output", type=Path, help="the .tar.gz to write, such as data/01_raw/sample_reviews.tar.gz"
    )
    parser.add_argument(
        "--num-reviews", type=int, default=NUM_REVIEWS, help="reviews in all (default %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=SEED, help="of everything that is drawn (default %(default)s)"
    )
    options = parser.parse_args(arguments)
    write_archive(options.output, options.num_reviews, options.seed)


if __name__ == "__main__":
    main()
