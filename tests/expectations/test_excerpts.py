import pytest

from minigpt_pipeline.expectations.excerpts import cut


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abcde", "abcde"), ("abcdef", "abcd…"), ("", "")],
    ids=["fits", "is cut", "is empty"],
)
def test_cut_never_exceeds_its_length(text: str, expected: str) -> None:
    assert cut(text, 5) == expected
