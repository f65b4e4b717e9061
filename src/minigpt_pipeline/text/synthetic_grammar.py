"""The sentences of the embedded corpus, and the automaton that reads them.

A review goes through the topics in order. A topic is left out with a fixed probability; otherwise one of its sentences
is taken, each with the same probability. In a sentence `{mood}` is a word of that class, `{a mood}` the same with the
article that it needs.

The grammar is unambiguous: `build_automaton` merges all sentences that can come next into a prefix tree and refuses
two branches with a word in common. So the words read so far fix the state, and only rating and genre stay hidden.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from minigpt_pipeline.text.standardization import to_words
from minigpt_pipeline.text.synthetic_words import WORD_CLASSES

SLOT = re.compile(r"\{(a )?(\w+)\}")
"""A place for a word, with its article or without."""


@dataclass(frozen=True)
class Topic:
    """What some sentences of a review are about.

    Args:
        probability: That a review touches on it.
        sentences: One of them is taken, each with the same probability.
    """

    probability: float
    sentences: tuple[str, ...]


LIST_ITEMS = ("{trait} {people}", "{mood} {details}")
"""A `{list}` is of people and things, each with its adjective, in any order and number."""

LIST_GOES_ON = 0.4
"""After each item of a list; otherwise a full stop ends the sentence."""

_TITLE = "{title_first} {title_last}"
_DIRECTOR = "{director_first} {director}"
_ACTOR = "{actor_first} {actor}"
_ACTRESS = "{actress_first} {actress}"
_OPINION = "{a degree} {quality} {genre} about {list}"
_ORIGIN = "{a trait} {role} from {which} {mood} {place} who must {task} {list}"
_PERFORMANCE = "with {mood} {skill} and {a mood} {asset} that {works}."

TOPICS = (
    Topic(  # the film
        1.0,
        (
            f"I {{saw}} {_TITLE}, {_OPINION}",
            f"My {{trait}} {{companion}} {{recommended}} {_TITLE}, {_OPINION}",
            f"{_TITLE} is {_OPINION}",
            f"The best scene of {_TITLE} is {{which}} {{mood}} {{scene}} in {_OPINION}",
            f"This is {_TITLE}, {_OPINION}",
        ),
    ),
    Topic(  # the story
        1.0,
        (
            f"{{hero}} is {_ORIGIN}",
            f"The story follows {{hero}}, {_ORIGIN}",
            f"We meet {{hero}}, {_ORIGIN}",
            f"It is about {{hero}}, {_ORIGIN}",
        ),
    ),
    Topic(  # the actor
        1.0,
        (
            f"{_ACTOR} {{plays}} {{hero}} {_PERFORMANCE}",
            f"{{hero}} is played by {_ACTOR}, {_PERFORMANCE}",
        ),
    ),
    Topic(  # the actress
        0.85,
        (
            f"{_ACTRESS} {{plays}} his {{trait}} {{woman}} {_PERFORMANCE}",
            f"{{beside}} {{hero}}, {_ACTRESS} {{plays}} his {{trait}} {{woman}} {_PERFORMANCE}",
        ),
    ),
    Topic(0.7, ("Together {actor} and {actress} {share} {which} {mood} {scene} in {which} {mood} {spot}.",)),
    Topic(0.5, ("{then} {hero} {deeds} {which} {mood} {thing} and must {task} {list}",)),
    Topic(  # the director
        0.35,
        (
            f"Director {_DIRECTOR} {{directs}} it {{manner}}, with {{list}}",
            f"{_DIRECTOR} {{directs}} it {{manner}}, with {{list}}",
        ),
    ),
    Topic(  # the craft
        0.35,
        (
            "The {aspect} is {degree} {quality}, with {list}",
            "Its {aspect} {works} {manner}, with {list}",
            "What {whom} see is {list}",
        ),
    ),
    Topic(  # one scene
        0.3,
        (
            "I {loved} {which} {mood} {scene} in {which} {mood} {spot}, with {list}",
            "There is {a degree} {quality} {scene} in {which} {mood} {spot}, with {list}",
        ),
    ),
    Topic(0.15, ("At last the {role} {deeds} {which} {mood} {thing} and leaves the {place} with {list}",)),
    Topic(0.2, ("{director} {knows} {list}",)),
    Topic(0.2, ("It made {trait} {people} {react}, {react} and {react}.",)),
    Topic(  # the verdict
        1.0,
        (
            f"{_TITLE} is {{a verdict}}: {{score}} out of 10.",
            "My rating for this {degree} {quality} {genre} is {score} out of 10.",
            "So I give {score}/10 to {director}, {actor} and {actress}!",
        ),
    ),
)


class Slot(NamedTuple):
    """A place for one word of a class, perhaps after its article."""

    name: str
    has_article: bool


LIST = Slot("list", has_article=False)
"""A whole `{list}` with its full stop; always a sentence's last symbol."""

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
    """What can come next after some words: ways on whose probabilities sum to one, or none at the end of a review."""

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
    """A sentence that can come next, with its probability, and the number of the topic that follows it."""

    probability: float
    symbols: tuple[Symbol, ...]
    next_topic: int


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
def build_automaton(next_topic: int = 0) -> State:
    """Build the states of a review, from the one between two sentences on.

    Args:
        next_topic: The first topic that is still to come. After the last one there is no way on.

    Raises:
        ValueError: If the grammar is ambiguous.
    """
    options: list[_Option] = []
    reach = 1.0  # that all topics in between are left out
    for number, topic in enumerate(TOPICS[next_topic:], start=next_topic):
        share = reach * topic.probability / len(topic.sentences)
        options += [_Option(share, parse_sentence(sentence), number + 1) for sentence in topic.sentences]
        reach *= 1 - topic.probability
        if reach == 0:
            break
    return _merge(options, depth=0, total=1.0)


def _merge(options: Iterable[_Option], depth: int, total: float) -> State:
    """Build the state behind the first `depth` symbols, which the options have in common.

    Args:
        options: The sentences that come here.
        depth: Symbols read so far.
        total: Probability of coming here.
    """
    state = State()
    groups: dict[Symbol, list[_Option]] = {}
    for option in options:
        groups.setdefault(option.symbols[depth], []).append(option)
    for symbol, group in groups.items():
        reached = sum(option.probability for option in group)
        ended = [option for option in group if len(option.symbols) == depth + 1]
        if ended and len(group) > 1:
            raise ValueError(
                f"The grammar is ambiguous: {ended[0].symbols} is also how another sentence begins"
            )
        if symbol == LIST:
            for edge in _build_list(ended[0].next_topic).edges:
                state.add(replace(edge, probability=edge.probability * (reached / total)))
            continue
        target = build_automaton(ended[0].next_topic) if ended else _merge(group, depth + 1, reached)
        _connect(state, symbol, reached / total, target)
    return state


@cache
def _build_list(next_topic: int) -> State:
    """Build the state at the beginning of a list; each further item begins there again."""
    beginning, behind_item = State(), State()
    for item in LIST_ITEMS:
        adjective, noun = parse_sentence(item)
        behind_adjective = State()
        _connect(beginning, adjective, 1 / len(LIST_ITEMS), behind_adjective)
        _connect(behind_adjective, noun, 1.0, behind_item)
    _connect(behind_item, Slot("link", has_article=False), LIST_GOES_ON, beginning)
    _connect(behind_item, ".", 1 - LIST_GOES_ON, build_automaton(next_topic))
    return beginning


def _connect(state: State, symbol: Symbol, probability: float, target: State) -> None:
    """Add the edge of a symbol; a slot with its article has two, `a` and `an`, with a state behind each."""
    certain = np.ones((1, 1))
    if isinstance(symbol, str):
        state.add(Edge(probability * certain, {symbol: certain}, target))
        return
    word_class = WORD_CLASSES[symbol.name]
    words = {word: word_class.probabilities[:, :, i] for i, word in enumerate(word_class.words)}
    if not symbol.has_article:
        state.add(Edge(probability * certain, words, target, symbol.name if word_class.is_of_film else None))
        return
    if word_class.is_of_film:
        raise ValueError(f"{{a {symbol.name}}}: the article of a film's word isn't known before the word is")
    for article in ("a", "an"):
        fitting = {word: p for word, p in words.items() if choose_article(word) == article}
        if fitting:
            share = np.sum(list(fitting.values()), axis=0)  # (num_ratings or 1, num_genres or 1)
            behind = State()
            behind.add(Edge(certain, {word: _divide(p, share) for word, p in fitting.items()}, target))
            state.add(Edge(probability * share, {article: certain}, behind))


def _divide(part: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return part / total; 0 where both are 0, for ratings with which nobody comes there."""
    quotient: np.ndarray = np.divide(part, total, out=np.zeros_like(part), where=total > 0)
    return quotient
