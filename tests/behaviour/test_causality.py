"""No position may know of a later one: a model that does has a loss that means nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigpt_pipeline.model import causal_self_attention
from minigpt_pipeline.model.mini_gpt import MiniGPT
from tests.behaviour.conftest import OPTIONS


def changed_positions(model: MiniGPT, token_ids: np.ndarray, place: int) -> list[int]:
    """Positions at which the logits of any sequence change, in any bit, when the token at a place does."""
    others = token_ids.copy()
    others[:, place] = (others[:, place] - 1) % 26 + 2
    differs = np.array(model(token_ids)) != np.array(model(others))  # (batch, length, vocabulary)
    return np.flatnonzero(differs.any(axis=(0, 2))).tolist()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_token_changes_no_logit_before_it(
    make_model: Callable[..., MiniGPT], sequences: np.ndarray, options: dict[str, Any]
) -> None:
    model = make_model(1, **options)

    for place in range(8):
        assert changed_positions(model, sequences[:, :8], place) == list(range(place, 8))


def test_a_token_changes_earlier_logits_where_the_mask_is_broken(
    make_model: Callable[..., MiniGPT], sequences: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above would see it."""
    monkeypatch.setattr(
        causal_self_attention, "causal_attention_mask", lambda length: np.ones((1, 1, 1, 1), dtype=bool)
    )

    assert changed_positions(make_model(1), sequences[:, :8], 7) == list(range(8))
