"""The sentences of the embedded corpus, and the automaton that reads them.

A review goes through the topics in order. A topic is left out with a fixed probability; otherwise one of its sentences
is taken, each with the same probability. In a sentence `{mood}` is a word of that class, `{a mood}` the same with the
article that it needs.

The grammar is unambiguous: `build_automaton` merges all sentences that can come next into a prefix tree and refuses
two branches with a word in common. So the words read so far fix the state, and only rating and genre stay hidden.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import NamedTuple

import numpy as np

from minigpt_pipeline.text.standardization import to_words
from minigpt_pipeline.text.synthetic_words import GENRES, RATINGS, WORD_CLASSES

SLOT = re.compile(r"\{(a )?(\w+)\}")
"""A place for a word, with its article or without."""

IS_PRAISE = np.array([rating > 5 for rating in RATINGS])[:, None]  # (num_ratings, 1)


@dataclass(frozen=True)
class Topic:
    """What some sentences of a review are about.

    Args:
        probability: That a review touches on it.
        sentences: For any rating.
        praise: Also for 7 to 10 stars.
        blame: Also for 1 to 4 stars.
    """

    probability: float
    sentences: tuple[str, ...]
    praise: tuple[str, ...] = ()
    blame: tuple[str, ...] = ()


_TITLE = "{title_first} {title_last}"
_DIRECTOR = "{director_first} {director}"
_ACTOR = "{actor_first} {actor}"
_ACTRESS = "{actress_first} {actress}"

TOPICS = (
    Topic(  # the film
        1.0,
        (
            f"I {{saw}} {_TITLE} {{when}} with my {{trait}} {{companion}} and {{found}} it {{degree}} {{quality}}.",
            f"My {{trait}} {{companion}} and I {{saw}} {_TITLE} {{when}}, and it left us {{degree}} {{feeling}}.",
            f"{_TITLE} is {{a degree}} {{quality}} {{genre}} about {{trait}} {{people}} {{among}} {{mood}} {{themes}}.",
            f"The best scene of {_TITLE} is {{which}} {{mood}} {{scene}} with {{trait}} {{people}} {{among}} {{mood}} {{details}}.",
            f"This {{genre}} called {_TITLE} is {{a verdict}} of {{mood}} {{themes}} {{among}} {{trait}} {{people}}.",
            f"For {{count}} years my {{trait}} {{companion}} {{praised}} {_TITLE}, {{a degree}} {{quality}} {{genre}}.",
        ),
    ),
    Topic(  # the director
        0.5,
        (
            f"Director {_DIRECTOR} {{handles}} {{mood}} {{themes}} {{among}} {{trait}} {{people}} with {{mood}} {{skill}}.",
            f"{_DIRECTOR} directed it {{manner}}, with {{a mood}} eye for {{mood}} {{details}} {{among}} {{trait}} {{people}}.",
            f"It was directed by {_DIRECTOR}, whose {{mood}} {{aspect}} and {{mood}} {{aspect}} are {{degree}} {{quality}}.",
        ),
    ),
    Topic(  # the story
        1.0,
        (
            "{hero} is {a trait} {role} who {deeds} {a mood} {thing} {among} {which} {mood} {place}.",
            "The story follows {hero}, {a trait} {role} who must {task} {a mood} {thing} and {count} {trait} {people}.",
            "In {which} {mood} {place}, {a trait} {role} named {hero} {deeds} {a mood} {thing}.",
            "We meet {hero}, {a trait} {role} with {mood} {themes}, {a trait} {companion} and {which} {mood} {thing}.",
        ),
    ),
    Topic(  # its complications
        0.4,
        (
            "Then {which} {trait} {companion} {deeds} {which} {mood} {thing}, and {hero} must {task} {count} {trait} {people}.",
            "When {trait} {people} {task} {which} {companion}, {hero} {deeds} {which} {mood} {thing}.",
            "Soon {hero} {deeds} {count} {trait} {people}, {which} {mood} {thing} and {which} {trait} {companion}.",
        ),
    ),
    Topic(  # the actor
        1.0,
        (
            f"{_ACTOR} plays {{hero}} with {{mood}} {{skill}} and {{a mood}} {{asset}}.",
            f"As {{hero}}, {_ACTOR} is {{degree}} {{quality}}, all {{mood}} {{asset}} and {{mood}} {{skill}}.",
            f"{{hero}} is played by {_ACTOR}, whose {{mood}} {{asset}} {{works}} {{manner}}.",
        ),
    ),
    Topic(  # the actress
        0.6,
        (
            f"{_ACTRESS} is {{degree}} {{quality}} as {{a trait}} {{woman}}, and her {{mood}} {{asset}} {{works}}.",
            f"His {{trait}} {{woman}} is {_ACTRESS}, who {{works}} with {{mood}} {{skill}} and {{mood}} {{asset}}.",
            f"Opposite him, {_ACTRESS} makes {{a degree}} {{quality}} {{woman}}, all {{mood}} {{asset}} and {{skill}}.",
        ),
    ),
    Topic(  # both of them
        0.25,
        (
            "Together {actor} and {actress} {shares} {mood} {themes} {among} {which} {mood} {scene} in {which} {mood} {spot}.",
            "Between {actor} and {actress} there is {mood} {skill}, {mood} {skill} and {degree} {quality} {aspect}.",
            "Watching {actress} {task} {actor} in {which} {mood} {spot} left me {degree} {feeling}.",
        ),
    ),
    Topic(  # the craft
        0.55,
        (
            "The music is {degree} {quality}, all {mood} {instruments} {among} {mood} {instruments}.",
            "Behind {which} {mood} {scene} we hear {mood} {instruments} {among} {mood} {instruments} and {trait} {people}.",
            "The camera {watches} {mood} {details}, {trait} {people} and {which} {mood} {spot}.",
            "Every {mood} {spot} is filmed {manner}, with {mood} {details} {among} {mood} {details}.",
            "The {aspect} {works} {manner}, and the {mood} {aspect} is {degree} {quality}.",
            "Its {mood} {aspect} {works}, and its {aspect} is {degree} {quality}.",
        ),
        praise=("I admired the {mood} {aspect}, the {degree} {quality} {aspect} and {mood} {themes}!",),
        blame=("I hated the {mood} {aspect}, the {degree} {quality} {aspect} and {mood} {themes}!",),
    ),
    Topic(  # one scene
        0.35,
        (
            "In one {mood} {scene}, {hero} and {a trait} {companion} {task} {count} {trait} {people} {manner}.",
            "There is {a degree} {quality} {scene} in {which} {mood} {spot}, with {mood} {details} {among} {trait} {people}.",
            "During {which} {mood} {scene}, {count} {trait} {people} {task} {hero} in {which} {mood} {spot}.",
        ),
        praise=("My favorite moment is {which} {mood} {scene} in {which} {mood} {spot}, which made me {react} and {react}!",),
        blame=("My patience ended at {which} {mood} {scene} in {which} {mood} {spot}, which made me {react} and {react}!",),
    ),
    Topic(  # the turn of the story
        0.2,
        (
            "At last the {role} {deeds} {which} {mood} {thing} and leaves the {place} with {mood} {themes}.",
            "Back at the {place}, the {role} {deeds} {which} {mood} {thing} and {count} {trait} {people}.",
        ),
    ),
    Topic(  # the director again
        0.25,
        (f"With {_TITLE}, {{director}} made {{a degree}} {{quality}} {{genre}} of {{mood}} {{themes}} {{among}} {{mood}} {{themes}}.",),
        praise=("{director} understands {trait} {people}, {mood} {details} {among} {mood} {themes}.",),
        blame=("{director} misunderstands {trait} {people}, {mood} {details} {among} {mood} {themes}.",),
    ),
    Topic(  # who should see it
        0.25,
        (
            "It made my {trait} {companion} {react}, {react} and {react}.",
            "The last {count} minutes made {trait} {people} {react} and {react}.",
        ),
        praise=(f"Show {_TITLE} to {{trait}} {{people}} {{among}} {{trait}} {{people}} and {{which}} {{trait}} {{companion}}.",),
        blame=(f"Hide {_TITLE} from {{trait}} {{people}} {{among}} {{trait}} {{people}} and {{which}} {{trait}} {{companion}}.",),
    ),
    Topic(  # the verdict
        1.0,
        (
            f"{_TITLE} is {{a degree}} {{quality}} {{genre}}, and I give it {{score}} out of 10.",
            "My rating for this {genre} is {score} out of 10, for {actress} and the {mood} {aspect}.",
            "Overall it is {a degree} {quality} {genre} by {director}: {score}/10.",
            "So I call it {a degree} {quality} {verdict} with {mood} {themes}, {score} stars out of 10!",
        ),
    ),
)


class Slot(NamedTuple):
    """A place for one word of a class, perhaps after its article."""

    name: str
    has_article: bool


Symbol = str | Slot
"""A word that is always the same, or a slot."""


@dataclass(frozen=True)
class Edge:
    """One way on from a state.

    Args:
        probability: float64, (num_ratings or 1, num_genres or 1): of going this way.
        words: Of each word on this way, its probability given rating and genre, shaped likewise.
        target: The state after the word.
        film_slot: The class, where its word is drawn once for a film.
    """

    probability: np.ndarray
    words: Mapping[str, np.ndarray]
    target: "State"
    film_slot: str | None = None


@dataclass(frozen=True, eq=False)
class State:
    """What can come next after some words. Where a review may end, the edges' probabilities sum to less than one."""

    edges: list[Edge] = field(default_factory=list)
    edge_by_word: dict[str, Edge] = field(default_factory=dict)

    def add(self, edge: Edge) -> None:
        """Add a way on.

        Raises:
            ValueError: If one of its words leads another way already: the grammar would be ambiguous.
        """
        for word in edge.words:
            if word in self.edge_by_word:
                raise ValueError(
                    f"The grammar is ambiguous: {word!r} can continue the same words in two ways, in "
                    f"{sorted(edge.words)[:5]} and in {sorted(self.edge_by_word[word].words)[:5]}; "
                    "change one of the sentences or classes"
                )
            self.edge_by_word[word] = edge
        self.edges.append(edge)


class _Option(NamedTuple):
    """A sentence that can come next, with its probability, (num_ratings, 1), and the topic that it treats."""

    probability: np.ndarray
    symbols: tuple[Symbol, ...]
    topic: int


def choose_article(word: str) -> str:
    """Return `an` before a vowel letter, else `a`."""
    return "an" if word[0] in "aeiou" else "a"


def parse_sentence(sentence: str) -> tuple[Symbol, ...]:
    """Return the words and slots of a sentence."""
    symbols: list[Symbol] = []
    position = 0
    for match in SLOT.finditer(sentence):
        symbols += to_words(sentence[position : match.start()])
        symbols.append(Slot(match[2], match[1] is not None))
        position = match.end()
    return (*symbols, *to_words(sentence[position:]))


@cache
def build_automaton() -> State:
    """Build the states of all reviews and return the first one.

    Raises:
        ValueError: If the grammar is ambiguous.
    """
    return _build_boundary(0)


@cache
def _build_boundary(next_topic: int) -> State:
    """Build the state between two sentences, from which the next topic or one after it is touched on."""
    options: list[_Option] = []
    reach = 1.0  # that all topics in between are left out
    for number, topic in enumerate(TOPICS[next_topic:], start=next_topic):
        common = len(topic.sentences)
        num_sentences = np.where(IS_PRAISE, common + len(topic.praise), common + len(topic.blame))
        for sentences, is_possible in (
            (topic.sentences, np.ones_like(IS_PRAISE)),
            (topic.praise, IS_PRAISE),
            (topic.blame, ~IS_PRAISE),
        ):
            probability = reach * topic.probability * is_possible / num_sentences  # (num_ratings, 1)
            options += [_Option(probability, parse_sentence(sentence), number) for sentence in sentences]
        reach *= 1 - topic.probability
        if reach == 0:
            break
    return _merge(options, depth=0, total=np.ones((1, 1)))


def _merge(options: Iterable[_Option], depth: int, total: np.ndarray) -> State:
    """Build the state that follows the first `depth` symbols, which all the options have in common.

    Args:
        options: The sentences, with their probabilities.
        depth: Symbols read so far.
        total: Probability of coming here, (num_ratings or 1, 1).
    """
    state = State()
    grouped: dict[Symbol, list[_Option]] = {}
    for option in options:
        grouped.setdefault(option.symbols[depth], []).append(option)
    for symbol, group in grouped.items():
        reached = sum(option.probability for option in group)  # (num_ratings, 1)
        ended = [option for option in group if len(option.symbols) == depth + 1]
        if ended and len(group) > 1:
            raise ValueError(f"The grammar is ambiguous: {ended[0].symbols} is also how another sentence begins")
        target = _build_boundary(ended[0].topic + 1) if ended else _merge(group, depth + 1, reached)
        _connect(state, symbol, _divide(reached, total), target)
    return state


def _connect(state: State, symbol: Symbol, probability: np.ndarray, target: State) -> None:
    """Add the edge of a symbol; a slot with its article has two, `a` and `an`, with a state behind each."""
    if isinstance(symbol, str):
        state.add(Edge(probability, {symbol: np.ones((1, 1))}, target))
        return
    word_class = WORD_CLASSES[symbol.name]
    words = {word: word_class.probabilities[:, :, i] for i, word in enumerate(word_class.words)}
    if not symbol.has_article:
        state.add(Edge(probability, words, target, symbol.name if word_class.is_of_film else None))
        return
    if word_class.is_of_film:
        raise ValueError(f"{{a {symbol.name}}}: the article of a film's word isn't known before the word is")
    for article in ("a", "an"):
        fitting = {word: p for word, p in words.items() if choose_article(word) == article}
        if fitting:
            share = sum(fitting.values())  # (num_ratings or 1, num_genres or 1)
            behind = State()
            behind.add(Edge(np.ones((1, 1)), {word: _divide(p, share) for word, p in fitting.items()}, target))
            state.add(Edge(probability * share, {article: np.ones((1, 1))}, behind))


def _divide(part: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return part / total; 0 where both are 0, for ratings with which nobody comes there."""
    part, total = np.broadcast_arrays(part, total)
    return np.divide(part, total, out=np.zeros(part.shape), where=total > 0)
