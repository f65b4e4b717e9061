"""The page as a browser reads it."""

import itertools
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from minigpt_pipeline.comparison.model_run import ComparedRuns, ModelRun
from minigpt_pipeline.comparison.page import render_page

MakeRun = Callable[..., ModelRun]
MakeSample = Callable[..., dict[str, Any]]
Compare = Callable[..., ComparedRuns]

VOID = {"meta", "link", "input", "wbr"}
HOSTILE = "<script>alert(1)</script> & \"quoted\" 'text'"


class Page(HTMLParser):
    """Elements in their order, each with its attributes and all text in it; refuses elements that are not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[int] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for position in self._open:
            self.elements[position][2].append(data)

    def find(self, tag: str, **attributes: str) -> list[str]:
        """Return the texts of the elements of a tag that have some attributes."""
        return [
            " ".join("".join(text).split())
            for name, attrs, text in self.elements
            if name == tag and attributes.items() <= attrs.items()
        ]

    def rows(self, caption: str) -> list[list[str]]:
        """Return the cells of the table with a caption."""
        tables = [i for i, (tag, _, _) in enumerate(self.elements) if tag == "table"] + [len(self.elements)]
        for start, end in itertools.pairwise(tables):
            inside = [(tag, " ".join("".join(text).split())) for tag, _, text in self.elements[start:end]]
            if any(tag == "caption" and caption in text for tag, text in inside):
                cells: list[list[str]] = []
                for tag, text in inside:
                    if tag == "tr":
                        cells.append([])
                    elif tag in {"td", "th"}:
                        cells[-1].append(text)
                return cells
        raise AssertionError(f"no table {caption!r}")


def find_foreign(html: str) -> list[str]:
    """Return addresses that a browser would ask for something."""
    attributes = re.findall(r"(?:src|href|srcset|action|data|poster)\s*=\s*[\"']?([^\"'\s>]+)", html)
    styles = re.findall(r"url\(([^)]*)\)|@import ([^;]*)", html)
    found = attributes + ["".join(style) for style in styles]
    return [address for address in found if not address.startswith(("data:", "#"))]


@pytest.fixture
def runs(make_run: MakeRun, make_sample: MakeSample) -> list[ModelRun]:
    """A good run, and one that failed before it had validated or written anything."""
    good = make_run(
        "good",
        seconds=75.0,
        parameters={"model.embed_dim": "16", "training.seed": "42"},
        metrics={"test/perplexity": 96.5, "test/perplexity_low": 95.25, "test/perplexity_high": 98.0},
        curves={"train/loss": [(1, 3.0), (2, 2.0)], "val/loss": [(2, 2.5)], "train/seconds": [(2, 60.0)]},
        tags={"git_commit": "0123456789" * 4 + "-dirty", "environment": "test", "data_digest": "70f668e7"},
        samples=[make_sample(seed=seed, text=f"the text {seed}") for seed in range(5)],
    )
    failed = make_run(
        "failed", "FAILED", parameters={"model.embed_dim": "32", "training.seed": "42"},
        curves={"train/loss": [(1, 3.0)]}, metrics={"train/loss": 3.0},
    )  # fmt: skip
    return [good, failed]


def test_the_page_shows_what_differs(runs: list[ModelRun], compare: Compare) -> None:
    page = Page(render_page(compare(*runs), 3))

    assert page.find("h1") == ["Comparison of 2 models"]
    assert "2026-11-24 at 12:30 UTC" in page.find("time")
    assert page.rows("The last value")[1] == ["test/perplexity", "96.500 95.250 to 98.000", "none"]
    assert page.rows("Those that differ")[1:] == [["model.embed_dim", "16", "32"]]
    assert page.find("summary") == ["Equal in all runs (1)", "2 more for “the”"]
    assert page.rows("“the”")[1] == ["seed 0", "the text 0", "no text"]
    assert page.rows("More texts for “the”")[-1] == ["seed 4", "the text 4", "no text"]
    assert page.find("dd")[:6] == [
        "test",
        "0123456-dirty",
        "unknown",
        "2026-11-24 12:30 UTC",
        "1 min 15 s",
        "1 min 00 s",
    ]


def test_the_best_value_is_marked_in_words(make_run: MakeRun, compare: Compare) -> None:
    runs = [make_run(metrics={"test/loss": value}) for value in (2.0, 1.5)]

    page = Page(render_page(compare(*runs), 3))

    assert page.find("td", **{"class": "best"}) == ["best 1.5000 −0.5000 (−25.0%)"]


def test_a_page_of_runs_on_other_data_says_that_they_can_not_be_compared(
    make_run: MakeRun, compare: Compare
) -> None:
    runs = [
        make_run(data_digests={"test_token_ids": digest}, metrics={"test/loss": 1.0})
        for digest in ("0a", "0b")
    ]

    (warning,) = Page(render_page(compare(*runs), 3)).find("p", **{"class": "warning"})

    assert "differ in test_token_ids: their test/ and gen/ figures can't be compared" in warning
    assert Page(render_page(compare(runs[0]), 3)).find("p", **{"class": "warning"}) == []


@pytest.mark.parametrize(
    ("characters", "ending"),
    [
        (999.0, "; test/bits_per_character can, which was measured on the same text."),
        (998.0, "; test/bits_per_character could, had the runs measured it on the same text."),
    ],
)
def test_a_page_of_other_tokens_says_what_can_be_compared(
    make_run: MakeRun, compare: Compare, characters: float, ending: str
) -> None:
    first, second, alike = (
        make_run(
            parameters={"vectorization.tokenizer": tokenizer},
            metrics={"test/loss": loss, "test/bits_per_character": bits, "test/characters": length},
        )
        for tokenizer, loss, bits, length in (
            ("word", 4.0, 1.5, 999.0),
            ("subword", 5.0, 1.25, characters),
            ("word", 3.0, 1.0, 999.0),
        )
    )

    page = Page(render_page(compare(first, second), 3))

    (warning,) = page.find("p", **{"class": "warning"})
    assert warning.startswith(
        "Careful: The runs differ in vectorization.tokenizer: their test/ and val/ and gen/ and train/ figures, "
        "losses and perplexities of other tokens, can't be compared as they stand"
    )
    assert warning.endswith(ending)
    assert page.find("td", **{"class": "best"}) == ["best 1.2500 −0.2500 (−16.7%)"] * (characters == 999.0)
    assert Page(render_page(compare(first, alike), 3)).find("p", **{"class": "warning"}) == []


def test_what_others_wrote_is_text_and_never_markup(
    make_run: MakeRun, make_sample: MakeSample, compare: Compare
) -> None:
    run = make_run(
        HOSTILE,
        parameters={f"model.{HOSTILE}": HOSTILE},
        metrics={HOSTILE: 1.0},
        tags=dict.fromkeys(("git_commit", "environment", "device", "data_digest", "steps"), HOSTILE),
        samples=[make_sample(prompt=HOSTILE, text=f"{HOSTILE} {seed}", seed=seed) for seed in range(2)],
    )
    other = make_run(HOSTILE, parameters={f"model.{HOSTILE}": "&"}, data_digests={"test_token_ids": HOSTILE})

    html = render_page(ComparedRuns([run, other], HOSTILE, compare().read_at), 1)
    page = Page(html)

    assert page.find("script") == []
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]
    assert page.rows("Those that differ")[1] == [f"model.{HOSTILE}", HOSTILE, "&"]
    assert page.rows(f"“{HOSTILE}”")[1][1] == f"{HOSTILE} 0"
    assert page.find("dd")[0] == HOSTILE
    assert page.find("div", **{"aria-label": f"Texts for {HOSTILE}"}) != []


def test_the_page_asks_for_nothing_from_elsewhere(runs: list[ModelRun], compare: Compare) -> None:
    html = render_page(compare(*runs), 3)

    assert find_foreign(html) == []
    assert "default-src 'none'" in html
    assert {tag for tag, _, _ in Page(html).elements} & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
    } == set()
    assert find_foreign('<img src="a.png"><p style="background: url(b.png)">') == ["a.png", "b.png"]


@pytest.mark.parametrize("count", [1, 2, 8, 9])
def test_the_page_is_well_formed_and_can_be_read_aloud(
    runs: list[ModelRun], compare: Compare, count: int
) -> None:
    page = Page(render_page(compare(*(runs * 5)[:count]), 3))
    tags = [tag for tag, _, _ in page.elements]
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]

    assert page.elements[0][:2] == ("html", {"lang": "en"})
    assert len(page.find("meta", name="viewport")) == len(page.find("meta", charset="utf-8")) == 1
    assert [tag for tag in tags if tag in {"h1", "h2", "h3"}] == ["h1", "h2", *["h3"] * count, *["h2"] * 4]
    assert len(ids) == len(set(ids))
    assert {attrs.get("scope") for tag, attrs, _ in page.elements if tag == "th"} == {"col", "row"}
    assert all(attrs.get("aria-label") for tag, attrs, _ in page.elements if tag == "svg")
    named = [attrs["aria-labelledby"] for _, attrs, _ in page.elements if "aria-labelledby" in attrs]
    assert set(named) <= set(ids)
    assert all("tabindex" in attrs for _, attrs, _ in page.elements if attrs.get("class") == "scrolls")


def test_runs_of_which_little_is_known_have_a_page(make_run: MakeRun, compare: Compare) -> None:
    alone = Page(render_page(compare(make_run(parameters={"model.embed_dim": "16"})), 3))
    both = Page(render_page(compare(make_run(), make_run()), 3))

    assert alone.find("h1") == ["One model"]
    assert alone.find("summary") == ["All (1)"]
    assert "training stopped before its first measurement" in " ".join(alone.find("p"))
    assert "No losses were logged." in both.find("p")
    assert "All parameters are equal." in both.find("p")
    assert "lets one" in " ".join(both.find("p"))


def test_equal_runs_have_equal_pages(runs: list[ModelRun], compare: Compare) -> None:
    assert render_page(compare(*runs), 3) == render_page(compare(*runs), 3)
