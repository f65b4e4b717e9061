"""The pictures are of this code."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from kedro.pipeline import Node, Pipeline

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_architecture", DOCS / "draw_architecture.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(*texts: str) -> str:
    return "".join(texts)


def test_the_page_shows_the_code_as_it_is(drawing: ModuleType) -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")

    assert page == drawing.write(page), "run `make docs`"


def test_a_picture_of_pipelines_shows_what_crosses(drawing: ModuleType) -> None:
    pipelines = {
        "reading": Pipeline([Node(read, ["archive", "params:reading"], "reviews", name="read")]),
        "counting": Pipeline(
            [Node(read, "reviews", "inner", name="count"), Node(read, "inner", "words", name="add")]
        ),
    }

    assert drawing.draw_pipelines(pipelines).splitlines() == [
        "flowchart TD",
        "    archive[(archive)] --> reading",
        '    reading -- "reviews" --> counting',
    ]


def test_a_page_without_a_place_is_refused(drawing: ModuleType) -> None:
    with pytest.raises(ValueError, match="no place for the picture of the pipelines"):
        drawing.write("# Architecture\n")
