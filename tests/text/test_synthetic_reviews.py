import gzip
import math
import random
import re
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from minigpt_pipeline.text import synthetic_grammar, synthetic_reviews
from minigpt_pipeline.text.imdb import ArchiveMember, parse_reviews
from minigpt_pipeline.text.standardization import to_words
from minigpt_pipeline.text.synthetic_grammar import LIST_GOES_ON, SLOT, TOPICS, Topic, build_automaton
from minigpt_pipeline.text.synthetic_reviews import (
    NUM_REVIEWS,
    ReviewReader,
    draw_film,
    fresh_reviews,
    log_probabilities,
    main,
    make_members,
    next_word_probabilities,
    write_archive,
    write_review,
)
from minigpt_pipeline.text.synthetic_words import GENRES, RATINGS, WORD_CLASSES

ARCHIVE = Path(__file__).parents[2] / "data/01_raw/sample_reviews.tar.gz"
NUM_SCORED_WORDS = 81  # the measure scores words 2 to 81

BEGINNING = """This is Silent Harbor, a truly good western about lonely strangers and dark faces.
    It is about Amos, a lonely sheriff from that dark ranch who must find dark faces."""

Prediction = tuple[str, dict[str, float]]

BEGINNING_DRAWS = [
    ("title_first", "silent"),
    ("title_last", "harbor"),
    ("degree", "truly"),
    ("quality", "good"),
    ("genre", "western"),
    *(("trait", "lonely"), ("people", "strangers"), ("link", "and"), ("mood", "dark"), ("details", "faces")),
    ("hero", "amos"),
    *(("trait", "lonely"), ("role", "sheriff"), ("which", "that"), ("mood", "dark"), ("place", "ranch")),
    *(("task", "find"), ("mood", "dark"), ("details", "faces")),
]


@pytest.fixture(scope="module")
def members() -> dict[str, bytes]:
    return make_members()


@pytest.fixture(scope="module")
def scored_reviews() -> list[list[str]]:
    return [to_words(review.text)[:NUM_SCORED_WORDS] for review in fresh_reviews(600, seed=11)]


@pytest.fixture(scope="module")
def predictions(scored_reviews: list[list[str]]) -> list[Prediction]:
    """Each word of some reviews, with the probabilities of all words that could stand in its place."""
    predicted = []
    for words in scored_reviews[:150]:
        reader = ReviewReader()
        for word in words:
            predicted.append((word, reader.list_next_words()))
            reader.read(word)
    return predicted


def read_members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


class TestArchive:
    def test_in_the_repository_is_regenerated_member_by_member(self, members: dict[str, bytes]) -> None:
        committed = read_members(ARCHIVE)

        assert sorted(committed) == sorted(members)
        assert [name for name, content in members.items() if committed[name] != content] == []

    def test_in_the_repository_is_small_and_names_no_machine(self) -> None:
        content = ARCHIVE.read_bytes()

        assert len(content) < 1_000_000
        assert content[3:8] == bytes(5)
        with tarfile.open(ARCHIVE) as archive:
            assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in archive} == {(0, 0, 0, "", "")}

    def test_reads_like_the_real_one(self, members: dict[str, bytes]) -> None:
        archive_members = [ArchiveMember(name, content) for name, content in members.items()]
        reviews = parse_reviews(archive_members, include_unlabelled=False)

        assert len(reviews) == NUM_REVIEWS
        assert reviews["movie_id"].notna().all()
        assert reviews["text"].is_unique
        assert set(reviews.loc[reviews["label"] == "pos", "rating"]) == {7, 8, 9, 10}
        assert set(reviews.loc[reviews["label"] == "neg", "rating"]) == {1, 2, 3, 4}
        assert reviews["label"].value_counts(normalize=True).max() < 0.55
        assert reviews["split"].value_counts(normalize=True).max() < 0.55
        assert reviews.groupby("movie_id")["split"].nunique().max() == 1
        assert set(reviews.groupby("movie_id").size()) == {1, 2, 3, 4, 5, 6}

    def test_has_words_enough_and_none_that_is_rare(self, members: dict[str, bytes]) -> None:
        counts = Counter(
            word for name, text in members.items() if "urls" not in name for word in to_words(text.decode())
        )

        assert len(counts) >= 1000
        # With 90 % of the films in the vocabulary no word is missing there.
        assert min(counts.values()) >= 15

    def test_shows_how_people_write(self, members: dict[str, bytes]) -> None:
        texts = [content.decode() for name, content in members.items() if "urls" not in name]

        for sign in (r"<br /><br />", r"^[^A-Z]+$", r"\b[A-Z]{4,}\b", r"!$"):
            assert 0.05 < np.mean([re.search(sign, text) is not None for text in texts]) < 0.6, sign

    def test_same_seed_same_bytes(self, tmp_path: Path) -> None:
        for name, seed in (("one", 5), ("other", 5), ("third", 6)):
            write_archive(tmp_path / name, num_reviews=20, seed=seed)
        one, other, third = ((tmp_path / name).read_bytes() for name in ("one", "other", "third"))

        assert one == other
        # RFC 1952: no flags (so no file name) and no time.
        assert one[3:8] == bytes(5)
        assert gzip.decompress(one) != gzip.decompress(third)

    def test_refuses_to_be_empty(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="num_reviews=0: an archive needs at least one review"):
            write_archive(tmp_path / "none.tar.gz", num_reviews=0)

    def test_main_writes_it(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "reviews.tar.gz"
        main([str(path), "--num-reviews", "7", "--seed", "3"])

        assert read_members(path) == make_members(num_reviews=7, seed=3)

    def test_does_not_depend_on_the_hash_seed(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", synthetic_reviews.__name__, "--num-reviews", "5"]
        for seed in ("1", "2"):
            subprocess.run([*command, tmp_path / seed], env={"PYTHONHASHSEED": seed}, check=True)

        assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


class TestReviews:
    def test_of_one_film_share_what_the_film_gives(self) -> None:
        rng = random.Random(2)
        film = draw_film(rng)
        texts = [write_review(film, rng).text.lower() for _ in range(20)]
        others = {review.text for review in fresh_reviews(20, seed=4)}

        for name in ("title_first", "title_last", "hero", "actor", "role", "place"):
            assert all(film.words[name] in text for text in texts), name
        assert not all(film.words["hero"] in text.lower() for text in others)
        assert film.words["role"] in read_genre_words("role", film.genre)

    def test_have_the_length_of_reviews(self) -> None:
        lengths = np.array([len(to_words(review.text)) for review in fresh_reviews(1000, seed=8)])

        assert 105 < lengths.mean() < 120
        assert lengths.min() >= 50
        assert np.quantile(lengths, 0.97) < 160
        # Some are shorter than the context, so that padding is met.
        assert 0.01 < np.mean(lengths < NUM_SCORED_WORDS) < 0.1

    def test_agree_with_their_rating(self) -> None:
        reviews = fresh_reviews(300, seed=5)
        blaming = {"terrible", "weak", "fails", "drags", "poorly", "disaster", "failure", "stupidity"}
        shares = {
            is_positive: np.mean(
                [bool(blaming & set(to_words(r.text))) for r in reviews if (r.rating > 5) == is_positive]
            )
            for is_positive in (False, True)
        }

        assert shares[True] == 0
        assert shares[False] > 0.5

    def test_repeat_with_the_seed(self) -> None:
        assert fresh_reviews(3, seed=1) == fresh_reviews(3, seed=1)
        assert fresh_reviews(3, seed=1) != fresh_reviews(3, seed=2)


def read_genre_words(name: str, genre: str) -> set[str]:
    word_class = WORD_CLASSES[name]
    row = word_class.probabilities[0, GENRES.index(genre)]
    return {word for word, probability in zip(word_class.words, row, strict=True) if probability > 0}


class TestLogProbabilities:
    def test_equals_a_sum_over_rating_and_genre_by_hand(self) -> None:
        """What the words say of rating and genre: `good` of the one, `western`, `sheriff`, `ranch` of the other."""
        # One of five sentences and one of four; three list items, of which the first goes on and two end the list.
        choices = 1 / 5 * 1 / 4 * (1 / 2) ** 3 * LIST_GOES_ON * (1 - LIST_GOES_ON) ** 2
        total = 0.0
        for r in range(len(RATINGS)):
            for g in range(len(GENRES)):
                factors = [1 / len(RATINGS) / len(GENRES)]
                for name, word in BEGINNING_DRAWS:
                    c = WORD_CLASSES[name]
                    full = np.broadcast_to(c.probabilities, (len(RATINGS), len(GENRES), len(c.words)))
                    factors.append(full[r, g, c.words.index(word)])
                total += math.prod(factors)

        assert log_probabilities(to_words(BEGINNING)).sum() == pytest.approx(
            math.log(choices * total), abs=1e-9
        )

    def test_equals_the_entropy_on_average(self, predictions: list[Prediction]) -> None:
        """The writer never asks the automaton: if the two disagree, surprise and entropy differ."""
        surplus = []
        for word, probabilities in predictions:
            p = np.array(list(probabilities.values()))
            surplus.append(-math.log(probabilities[word]) + (p * np.log(p)).sum())

        standard_error = np.std(surplus) / math.sqrt(len(surplus))
        assert standard_error < 0.02
        assert abs(np.mean(surplus)) < 3 * standard_error

    def test_is_calibrated_word_by_word(self, predictions: list[Prediction]) -> None:
        """Each word comes as often as it was said to come, wherever it could."""
        expected, variance = Counter[str](), Counter[str]()
        for _, probabilities in predictions:
            for word, p in probabilities.items():
                expected[word] += p
                variance[word] += p * (1 - p)
        observed = Counter(word for word, _ in predictions)
        deviations = [
            (observed[word] - expected[word]) / math.sqrt(variance[word])
            for word in expected
            if variance[word] > 5
        ]

        assert len(deviations) > 200
        assert max(map(abs, deviations)) < 4
        assert np.std(deviations) == pytest.approx(1, abs=0.15)

    def test_sums_to_one_over_the_next_words(self, scored_reviews: list[list[str]]) -> None:
        rng = random.Random(3)
        for words in rng.sample(scored_reviews, 60):
            length = rng.randrange(len(words))
            candidates = next_word_probabilities(words[:length])

            assert sum(candidates.values()) == pytest.approx(1, abs=1e-12)
            assert math.log(candidates[words[length]]) == pytest.approx(
                log_probabilities(words[: length + 1])[-1], abs=1e-12
            )

    def test_does_not_depend_on_later_words(self, scored_reviews: list[list[str]]) -> None:
        words = scored_reviews[0]

        np.testing.assert_array_equal(log_probabilities(words[:30]), log_probabilities(words)[:30])

    def test_leaves_two_nats_a_word(self, scored_reviews: list[list[str]]) -> None:
        scored = np.concatenate([log_probabilities(words)[1:] for words in scored_reviews])

        assert scored.dtype == np.float64
        assert (scored <= 1e-12).all()
        assert 2.0 < -scored.mean() < 2.2

    def test_takes_every_review_to_its_end(self) -> None:
        for review in fresh_reviews(50, seed=9):
            words = to_words(review.text)

            assert len(log_probabilities(words)) == len(words)
            assert next_word_probabilities(words) == {}

    def test_lets_names_return_for_certain(self) -> None:
        beginning = [*to_words(BEGINNING), *to_words("John Alderland plays")]

        assert next_word_probabilities(beginning[:-2])["alderland"] < 0.1
        assert next_word_probabilities(beginning) == {"amos": pytest.approx(1)}

    def test_learns_the_rating_from_opinions(self) -> None:
        opinion, verdict = (
            to_words("This is Silent Harbor, a truly"),
            to_words("western about lonely strangers."),
        )
        next_opinion = to_words("""Amos is a lonely sheriff from that dark ranch who must find dark faces.
            John Alderland plays Amos with dark""")
        after_praise = next_word_probabilities([*opinion, "brilliant", *verdict, *next_opinion])
        after_blame = next_word_probabilities([*opinion, "terrible", *verdict, *next_opinion])

        assert "genius" in after_praise
        assert "genius" not in after_blame
        assert after_praise["genius"] > after_praise["charm"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "I saw a",
                r"can't write 'a' as word 3 of a review: expected one of 30 words, such as \['bitter', 'broken'",
            ),
            ("Bananas", "can't write 'bananas' as word 1"),
            (
                BEGINNING + " John Alderland plays Boris",
                r"can't write 'boris' .*: expected one of 1 words, such as \['amos'\]",
            ),
            ("This is Silent Harbor, an truly", "can't write 'truly'"),
        ],
    )
    def test_refuses_what_the_grammar_cannot_write(self, text: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            log_probabilities(to_words(text))

    def test_refuses_unknown_words(self) -> None:
        with pytest.raises(
            ValueError, match=r"probability of \[UNK\] as word 3 of a review is not known: .*vocabulary_size"
        ):
            log_probabilities(["this", "is", "[UNK]"])

    def test_refuses_a_word_behind_the_end(self) -> None:
        (review,) = fresh_reviews(1, seed=1)
        with pytest.raises(ValueError, match=r"'the' .*expected the end of the review"):
            log_probabilities([*to_words(review.text), "the"])


class TestGrammar:
    def test_uses_every_class_and_no_other(self) -> None:
        sentences = " ".join(sentence for topic in TOPICS for sentence in topic.sentences)
        lists = " ".join(synthetic_grammar.LIST_ITEMS)

        used = {match[2] for match in SLOT.finditer(sentences + lists + "{link}")}
        assert used - {"list"} == set(WORD_CLASSES)

    def test_gives_each_class_whole_distributions_of_single_words(self) -> None:
        for name, word_class in WORD_CLASSES.items():
            np.testing.assert_allclose(word_class.probabilities.sum(axis=-1), 1, err_msg=name)
            assert len(set(word_class.words)) == len(word_class.words), name
            assert [to_words(word) for word in word_class.words] == [[word] for word in word_class.words], (
                name
            )

    def test_names_stand_in_one_list_alone(self) -> None:
        counts = Counter(word for word_class in WORD_CLASSES.values() for word in word_class.words)

        names = [
            word for word_class in WORD_CLASSES.values() if word_class.is_name for word in word_class.words
        ]
        assert [name for name in names if counts[name] > 1] == []

    @pytest.mark.parametrize(
        ("sentences", "message"),
        [
            (("It {saw} them.", "It saw them."), "ambiguous: 'saw' can continue the same words in two ways"),
            (
                ("It {saw} them.", "It {saw} them. Twice."),
                "ambiguous: .* is also how another sentence begins",
            ),
            (("It is {a hero}.",), "the article of a film's word isn't known before the word is"),
        ],
    )
    def test_refuses_sentences_that_cannot_be_told_apart(
        self, sentences: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(synthetic_grammar, "TOPICS", (Topic(1.0, sentences),))
        build_automaton.cache_clear()
        try:
            with pytest.raises(ValueError, match=message):
                build_automaton()
        finally:
            build_automaton.cache_clear()


def test_film_and_rating_are_drawn_as_the_probability_assumes() -> None:
    rng = random.Random(6)
    films = [draw_film(rng) for _ in range(4000)]
    westerns = [film for film in films if film.genre == "western"]
    samples = [
        ([film.genre for film in films], GENRES, np.full(len(GENRES), 1 / len(GENRES))),
        (
            [write_review(films[0], rng).rating for _ in range(800)],
            RATINGS,
            np.full(len(RATINGS), 1 / len(RATINGS)),
        ),
        (
            [film.words["hero"] for film in films],
            WORD_CLASSES["hero"].words,
            WORD_CLASSES["hero"].probabilities[0, 0],
        ),
        (
            [film.words["role"] for film in westerns],
            WORD_CLASSES["role"].words,
            WORD_CLASSES["role"].probabilities[0, 0],
        ),
    ]

    for drawn, values, probabilities in samples:
        for value, p in zip(values, probabilities, strict=True):
            deviation = math.sqrt(len(drawn) * p * (1 - p))
            assert abs(drawn.count(value) - len(drawn) * p) <= 4 * deviation, value
