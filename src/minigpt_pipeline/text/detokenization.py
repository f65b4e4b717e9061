"""From the words that a model writes to text that people read.

The words are those of `text.standardization`: in lower case, each ASCII punctuation character a word of its own. Case
and white space are lost; the rules here give them back as English has them most often, and names as `text.casing` has
learnt them: `hanks` becomes `Hanks`, but `will smith` only `will Smith`.
"""

import string
from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import groupby, pairwise

from minigpt_pipeline.text.vocabulary import UNKNOWN


class _Clings(Enum):
    """The sides on which no space is written: left, right."""

    TO_NONE = (False, False)
    LEFT = (True, False)
    RIGHT = (False, True)
    TO_BOTH = (True, True)


_CLINGS = {
    **dict.fromkeys(".,!?;:)]}%+", _Clings.LEFT),
    **dict.fromkeys("([{#$", _Clings.RIGHT),
    **dict.fromkeys("/@_", _Clings.TO_BOTH),
}
"""Signs that are written in one way. Those in no rule stand apart, as in `tom & jerry`.

`<` must stand apart: a line break, `<br />`, is no word.
"""

_NUMBERS = {".": (range(1, 4), range(1, 3)), ",": (range(1, 4), range(3, 4)), ":": (range(1, 3), range(2, 3))}
"""How many digits stand before and behind a sign inside a number: 7.5, 1,000, 9:30."""

_CONTRACTED = frozenset({"d", "ll", "m", "nt", "re", "s", "t", "ve"})
"""Behind an apostrophe: don't, it's."""

_ELIDED = frozenset({"c", "d", "l", "o", "y"})
"""Before an apostrophe: c'mon, d'artagnan, l'avventura, o'clock, y'all."""

_NEVER_POSSESSIVE = frozenset({"as", "has", "his", "is", "its", "this", "was"})
"""Words in `s` behind which an apostrophe opens a quote: as 'psycho' does."""

_CLIPPED = frozenset({"bout", "cause", "em", "n", "til", "tis", "twas"})
"""Words that begin with an apostrophe."""

_AFTER_DASH = frozenset(
    """a all although and are but especially even he how i if is it just maybe my not nothing she that the there these
    they this unless was we what where which who why with you""".split()  # noqa: SIM905 -- one word a line would hide the rest
)
"""A single hyphen before one of these is a dash: `a film - but what a film`."""

_TITLE_WORDS = 12
"""Words that a pair of single quotes encloses at most; two apostrophes farther from each other are no pair."""

_SMALL_LETTERS = frozenset("aenostu")
"""Letters that are no name where they stand alone, as in `rock n roll`, `the 80 s`; others are: a B movie, rated R."""

_SMALL_INITIALS = frozenset({"aka", "am", "eg", "ie", "pm"})
_MOST_INITIALS = max(map(len, _SMALL_INITIALS))
_TITLES = frozenset({"dr", "mr", "mrs", "ms"})
_DOMAINS = frozenset({"com", "net", "org"})
_ENTITIES = frozenset({"amp", "gt", "lt", "quot"})


def to_readable_text(words: Sequence[str], casing: Mapping[str, str]) -> str:
    """Write words as English has them, with spaces, quotes and capitals in their places.

    Nothing is lost and nothing added: `to_words` of the text gives the words again.

    Args:
        words: As `text.standardization.to_words` gives them; `[UNK]` stays as it is.
        casing: How words are written that have capitals of their own, as `Tokenizer.casing` says.

    Returns:
        One line. Sentences, quotes that are sentences, single letters and the words of `casing` have capitals.
    """
    tokens = _join_repeated_signs(words)
    clings = _attach_signs(tokens)
    written = _capitalize(tokens, clings, casing)
    pieces = written[:1]
    for left, right, token in zip(clings, clings[1:], written[1:], strict=False):
        _, left_clings = left.value
        right_clings, _ = right.value
        pieces.append(token if left_clings or right_clings else f" {token}")
    return "".join(pieces)


def _join_repeated_signs(words: Sequence[str]) -> list[str]:
    """Make one token of an ellipsis, a dash, `!!!`. Double quotes stay apart: one closes, the next opens."""
    tokens: list[str] = []
    for word, run in groupby(words):
        repeated = list(run)
        tokens += repeated if _is_word(word) or word == '"' else ["".join(repeated)]
    return tokens


def _is_word(token: str) -> bool:
    return token == UNKNOWN or (token != "" and token[0] not in string.punctuation)


def _is_letter(token: str) -> bool:
    return len(token) == 1 and token in string.ascii_lowercase


def _look_around(tokens: Sequence[str], place: int) -> tuple[str, str]:
    """Return the tokens before and behind a place, the empty string where there is none."""
    return tokens[place - 1] if place else "", tokens[place + 1] if place + 1 < len(tokens) else ""


def _attach_signs(tokens: Sequence[str]) -> list[_Clings]:
    clings = {place: _attach(tokens, place) for place in range(len(tokens))}
    return list((clings | _attach_double_quotes(tokens) | _attach_apostrophes(tokens)).values())


def _attach(tokens: Sequence[str], place: int) -> _Clings:
    """Attach what is no quote: by its neighbours, else by the table."""
    here = tokens[place]
    before, after = _look_around(tokens, place)
    if _is_word(here):
        return _Clings.TO_NONE  # signs cling to words
    if (
        (here == "-" and _is_hyphen(tokens, place))
        or (here in _NUMBERS and _is_in_number(before, here, after))
        or (here == "." and _is_in_name(tokens, place))
        or (here[0] == "*" and _is_letter(before) and _is_word(after))
    ):
        return _Clings.TO_BOTH
    if here == "&" and after in _ENTITIES and tokens[place + 2 : place + 3] == [";"]:
        return _Clings.RIGHT
    return _CLINGS.get(here[0], _Clings.TO_NONE)


def _is_hyphen(tokens: Sequence[str], place: int) -> bool:
    before, after = _look_around(tokens, place)
    in_chain = tokens[place + 2 : place + 3] == ["-"]  # over-the-top
    return _is_word(before) and _is_word(after) and (after not in _AFTER_DASH or in_chain)


def _is_in_number(before: str, sign: str, after: str) -> bool:
    digits_before, digits_after = _NUMBERS[sign]
    are_numbers = before.isdecimal() and after.isdecimal()
    return are_numbers and len(before) in digits_before and len(after) in digits_after


def _is_in_name(tokens: Sequence[str], place: int) -> bool:
    """Tell whether a full stop stands between initials, or in the name of a site."""
    before, after = _look_around(tokens, place)
    are_initials = _is_initial(tokens, place - 1) and _is_initial(tokens, place + 1)
    return are_initials or after in _DOMAINS or before == "www"


def _is_initial(tokens: Sequence[str], place: int) -> bool:
    """Tell whether a token is a letter with a full stop that belongs to it, as in `john c . reilly`."""
    if not (0 <= place < len(tokens) - 1 and _is_letter(tokens[place]) and tokens[place + 1] == "."):
        return False
    before, _ = _look_around(tokens, place)
    if tokens[place] == "i":  # i . e . but not: so do i .
        following = "".join(tokens[place + 2 : place + 4])
        return _is_letter(following[:1]) and following[1:] == "."
    ends_word = before == "'" or (before.isdecimal() and tokens[place] == "s")  # it ' s . the 80 s .
    return not ends_word


def _attach_double_quotes(tokens: Sequence[str]) -> dict[int, _Clings]:
    """Open and close in turn; before a sign that ends something a quote closes, even where none is open."""
    clings = {}
    is_open = False
    for place, token in enumerate(tokens):
        if token in {'"', "''"}:
            _, after = _look_around(tokens, place)
            is_open = not is_open and after not in {".", ",", "!", "?", ";", ":", ")", "]"}
            clings[place] = _Clings.RIGHT if is_open else _Clings.LEFT
    return clings


def _attach_apostrophes(tokens: Sequence[str]) -> dict[int, _Clings]:
    """Attach apostrophes by the words beside them; those that are left are possessives or come in pairs, as quotes."""
    places = [place for place, token in enumerate(tokens) if token in {"'", "`"}]
    clings = {place: _attach_contraction(tokens, place) for place in places}
    left = [place for place in places if clings[place] is _Clings.TO_NONE]
    opened_at = None
    for place, following in pairwise([*left, len(tokens) + _TITLE_WORDS]):
        before, after = _look_around(tokens, place)
        is_possessive = len(before) > 1 and before.endswith("s") and before not in _NEVER_POSSESSIVE
        if opened_at is not None and place - opened_at <= _TITLE_WORDS:
            clings[place], opened_at = _Clings.LEFT, None
        elif following - place <= _TITLE_WORDS and not is_possessive:
            clings[place], opened_at = _Clings.RIGHT, place
        else:
            is_clipped = before in {"lil", "ol"} or (before.endswith("in") and before != "in")  # nothin'
            opens = not _is_word(before) or (_is_word(after) and not is_possessive and not is_clipped)
            clings[place] = _Clings.RIGHT if opens else _Clings.LEFT
    return clings


def _attach_contraction(tokens: Sequence[str], place: int) -> _Clings:
    before, after = _look_around(tokens, place)
    if _is_word(before) and (after in _CONTRACTED or (before in _ELIDED and _is_word(after))):
        return _Clings.TO_BOTH
    if before == "n" and _look_around(tokens, place - 1)[0] == "'":
        return _Clings.LEFT  # rock 'n' roll
    if after in _CLIPPED or (len(after) == 2 and after.isdecimal()) or after[1:] == "0s":  # noqa: PLR2004 -- '69, '80s
        return _Clings.RIGHT
    return _Clings.TO_NONE


def _capitalize(tokens: Sequence[str], clings: Sequence[_Clings], casing: Mapping[str, str]) -> list[str]:
    written = []
    begins_sentence = True
    for place, here in enumerate(tokens):
        before, _ = _look_around(tokens, place)
        if _is_word(here):
            written.append(_write_word(tokens, place, begins_sentence, casing))
            begins_sentence = False
            continue
        written.append(here)
        if here == "." or here[0] in "!?":
            begins_sentence = clings[place] is _Clings.LEFT and not _is_abbreviated(tokens, place - 1)
        elif here == '"' and clings[place] is _Clings.RIGHT and before in {",", ":"}:
            begins_sentence = _begins_with_sentence(tokens[place + 1 :])
        elif here in {",", ";", ":"} or (clings[place] is _Clings.LEFT and before[:1] in {"!", "?"}):
            begins_sentence = False  # "what a film!" he said
    return written


def _is_abbreviated(tokens: Sequence[str], place: int) -> bool:
    return place >= 0 and (_is_initial(tokens, place) or tokens[place] in _TITLES)


def _begins_with_sentence(tokens: Sequence[str]) -> bool:
    """Tell whether what follows an opening quote ends as a sentence does before the closing one."""
    return '"' in tokens and tokens[tokens.index('"') - 1][0] in ".!?"


def _write_word(tokens: Sequence[str], place: int, begins_sentence: bool, casing: Mapping[str, str]) -> str:
    """Give a word the capitals that it needs; only ASCII letters change, as in `text.standardization`."""
    word = tokens[place]
    before, after = _look_around(tokens, place)
    if _is_initial(tokens, place):
        return word if _spell_initials(tokens, place) in _SMALL_INITIALS else word.upper()
    is_name = _is_letter(word) and word not in _SMALL_LETTERS and before != "'" and "*" not in before + after
    if word == "i" or is_name:
        return word.upper()
    if word in casing:
        return casing[word]
    has_capital = begins_sentence or (word in _TITLES and after == ".")
    return word[0].upper() + word[1:] if has_capital and word[0].isascii() else word


def _spell_initials(tokens: Sequence[str], place: int) -> str:
    """Return the letters of the chain of initials around a place, `pm` for `p . m .`; of a long one some of them."""
    first = last = place
    while place - first < 2 * _MOST_INITIALS and _is_initial(tokens, first - 2):
        first -= 2
    while last - place < 2 * _MOST_INITIALS and _is_initial(tokens, last + 2):
        last += 2
    return "".join(tokens[first : last + 1 : 2])
