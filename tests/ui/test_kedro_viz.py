"""Kedro-Viz, as `make viz` serves it, shows the pipelines in layers."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.full

LAYERS = (
    "compute", "raw", "intermediate", "primary", "feature", "model_input", "models", "model_output", "reporting",
)  # fmt: skip
HAS_COME_TO_REST = """node => {
  const before = window.place;
  window.place = JSON.stringify(node.getBoundingClientRect());
  return before === window.place;
}"""
KeepPicture = Callable[..., None]


def find_node(page: Page, name: str) -> Locator:
    return page.locator(f'.pipeline-node[data-node-fullname="{name}"]')


def test_the_whole_is_shown_in_layers(page: Page, kedro_viz: str) -> None:
    page.goto(kedro_viz)

    expect(page.locator(".pipeline-layer-name")).to_have_text(LAYERS)
    for name in ("read_reviews", "check_reviews", "train_tokenizer", "train_model", "evaluate_model"):
        expect(find_node(page, name)).to_be_visible()


def test_training_shows_where_it_computes(page: Page, kedro_viz: str, keep_picture: KeepPicture) -> None:
    page.goto(f"{kedro_viz}/?pid=training")

    compute = find_node(page, "compute")
    for name in ("train_token_ids", "train_model", "training_log", "trained_model"):
        expect(find_node(page, name)).to_be_visible()
    page.wait_for_function(HAS_COME_TO_REST, arg=compute.element_handle(), polling=500)
    keep_picture(page, "kedro_viz")
    compute.click()
    expect(page.locator(".pipeline-metadata")).to_contain_text("datasets.ComputeDataset")
