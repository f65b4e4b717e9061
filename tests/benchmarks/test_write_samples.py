import pytest

from benchmarks.write_samples import Origin, make_head, make_section, parse

ORIGIN = Origin("run-id", "base", "commit-a", "commit-b-dirty", "42", "1044", 96.571)


def test_the_head_names_run_commits_seed_and_prompts() -> None:
    head = make_head(ORIGIN, 20, ["the best", "this"])

    for told in (
        "run-id",
        "base",
        "commit-a",
        "commit-b-dirty",
        "seed 42",
        "step 1044",
        "96.57",
        "`the best`, `this`",
    ):
        assert told in head
    assert "20 texts for each preset" in head
    assert "perplexity" not in make_head(ORIGIN._replace(perplexity=None), 20, ["this"])


def test_a_section_shows_texts_as_they_are_and_where_they_ended() -> None:
    section = make_section(
        "careful", {"temperature": 0.7, "top_k": None}, [("A *b* <i> [UNK]", True), ("C", False)]
    )

    assert section.splitlines() == [
        "## careful",
        "",
        "`temperature: 0.7`",
        "",
        r"0. A \*b\* \<i\> \[UNK\] ∎",
        "1. C",
    ]


def test_no_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--texts", "0"])

    assert "--texts 0: at least one" in capsys.readouterr().err
