import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minigpt_pipeline.text.casing import make_casing
from minigpt_pipeline.text.detokenization import to_readable_text
from minigpt_pipeline.text.standardization import to_words


@pytest.mark.parametrize(
    ("words", "text"),
    [
        # Stops and brackets
        ("slow , dull ; why ? look : there !", "Slow, dull; why? Look: there!"),
        ("the plot ( 1999 ) , [ sic ] , 90 % dull", "The plot (1999), [sic], 90% dull"),
        ("tom & jerry cost $ 20", "Tom & jerry cost $20"),
        ("bread &amp; butter", "Bread &amp; butter"),
        ("really ? ! no ! ! !", "Really?! No!!!"),
        # Apostrophes
        ("i don ' t think it ' s theirs , i ' m sure", "I don't think it's theirs, I'm sure"),
        (
            "we ' d say they ' ve won , you ' ll see , we ' re done",
            "We'd say they've won, you'll see, we're done",
        ),
        ("the film ' s end and the actors ' faces", "The film's end and the actors' faces"),
        ("the actors ' faces and the writers ' words", "The actors' faces and the writers' words"),
        ("rock ' n ' roll at ten o ' clock", "Rock 'n' roll at ten o'clock"),
        ("let ' em see the ' 80s", "Let 'em see the '80s"),
        ("nothin ' doing", "Nothin' doing"),
        ("the film ' the long dusk ' is over", "The film 'the long dusk' is over"),
        ("as ' dusk ' is , so is ' dawn '", "As 'dusk' is, so is 'dawn'"),
        ("tom ' s ' dusk ' is over", "Tom's 'dusk' is over"),
        ("as ' dusk is over", "As 'dusk is over"),
        ("seen in ' the long", "Seen in 'the long"),
        ("a good ol ' boy", "A good ol' boy"),
        # Double quotes
        ('the " long dusk " , and " dawn "', 'The "long dusk", and "dawn"'),
        ('he said , " it is over . " she left .', 'He said, "It is over." She left.'),
        ('he shouts : " go ! " and goes', 'He shouts: "Go!" and goes'),
        ('songs such as " dusk , " " dawn , " " noon "', 'Songs such as "dusk," "dawn," "noon"'),
        ('a stray quote " . the " next " pair', 'A stray quote". The "next" pair'),
        ('" i left , " he said', '"I left," he said'),
        ("' ' dusk ' ' is the title", "''Dusk'' is the title"),
        ('did you see " who was it ? " again', 'Did you see "who was it?" again'),
        # Hyphens and dashes
        ("a well - made , over - the - top film", "A well-made, over-the-top film"),
        ("a film - but what a film", "A film - but what a film"),
        ("a film - - dull - - of 1999 - 2001", "A film -- dull -- of 1999-2001"),
        # Ellipses
        ("well . . . it ends", "Well... it ends"),
        # Numbers
        ("8 / 10 , or 7 . 5 , of 1 , 000 at 9 : 30", "8/10, or 7.5, of 1,000 at 9:30"),
        ("made in 1999 . 10 years later , 300 left", "Made in 1999. 10 years later, 300 left"),
        ("it ended in 1999 , 300 left", "It ended in 1999, 300 left"),
        # Capitals
        ("one . two ? three ! four", "One. Two? Three! Four"),
        ("( one . two . ) three", "(One. Two.) Three"),
        ("a cast ( what a cast ! ) and a plot", "A cast (what a cast!) and a plot"),
        ("he said ' i left '", "He said 'I left'"),
        ("a b movie , rated r , in 3 - d", "A B movie, rated R, in 3-D"),
        ("the 80 s rock n roll of mr . z", "The 80 s rock n roll of Mr. Z"),
        ("the u . s . army and john c . miller", "The U.S. army and john C. miller"),
        ("at 9 p . m . , i . e . late", "At 9 p.m., i.e. late"),
        ("so do i . the end", "So do I. The end"),
        ("see www . example . com for more", "See www.example.com for more"),
        ("what the f * * k is that", "What the f**k is that"),
        # What is no English word
        ("[UNK] ' s film , [UNK] [UNK] .", "[UNK]'s film, [UNK] [UNK]."),
        ("élan and Élan . élan", "élan and Élan. élan"),
        ("< br / > is no line break", "< Br/> is no line break"),
        ("", ""),
    ],
)
def test_to_readable_text_writes_as_english_does(words: str, text: str) -> None:
    assert to_readable_text([*words.replace("&amp;", "& amp ;").split()], {}) == text


CASING = make_casing(("Ann", "DVD", "Drew", "Dr", "McDonald", "Of", "iPod"))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("it stars ann mcdonald , on dvd", "It stars Ann McDonald, on DVD"),
        ("mcdonald ' s film . dvd ? ipod !", "McDonald's film. DVD? iPod!"),
        ("one of the ann - drew films by dr ann", "One Of the Ann-Drew films by Dr Ann"),
        ("annie and mr . drew saw d . r . ann", "Annie and Mr. Drew saw D.R. Ann"),
    ],
)
def test_to_readable_text_writes_words_in_their_forms(words: str, text: str) -> None:
    assert to_readable_text(words.split(), CASING) == text


def test_to_readable_text_cannot_know_other_names() -> None:
    assert to_readable_text(["it", "stars", "will", "miller", "."], CASING) == "It stars will miller."


SNIPPETS = st.sampled_from(
    [*string.punctuation, *"aist", "ann", "br", "don", "dr", "com", "ipod", "n", "9", "80s", "ſ", "É", " "]
)
TEXTS = st.one_of(st.text(), st.lists(SNIPPETS, max_size=30).map(" ".join), st.lists(SNIPPETS).map("".join))


@settings(max_examples=200, deadline=None)
@given(TEXTS)
@example("a < br / > b")
@example("ſ . ſ")
def test_to_words_takes_a_readable_text_apart_again(text: str) -> None:
    words = to_words(text)

    assert to_words(to_readable_text(words, CASING)) == words


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*string.punctuation, "[UNK]", "i", "dvd", "mr", "film", "café", "7"])))
def test_to_readable_text_only_sets_spaces_and_capitals(words: list[str]) -> None:
    text = to_readable_text(words, CASING)

    assert text.replace(" ", "").lower() == "".join(words).lower()
    assert text == text.strip()
    assert "  " not in text
