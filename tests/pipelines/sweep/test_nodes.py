import json

import pandas as pd
import pytest

from minigpt_pipeline.pipelines.sweep.nodes import plot_parameters, plot_search


@pytest.fixture
def trials() -> pd.DataFrame:
    """As `tabulate_trials` gives them: three trained to their end."""
    return pd.DataFrame(
        {
            "trial": [0, 1, 2],
            "state": "complete",
            "loss": [4.5, 4.2, 4.4],
            "seconds": 480.0,
            "reason": "",
            "retries": pd.array([None] * 3, "Int64"),
            "model.embed_dim": ["192", "256", "256"],
            "training.optimizer.learning_rate": [json.dumps(rate) for rate in (0.0028216, 0.0161234, 0.005)],
            "training.optimizer.name": ['"adam"', '"muon"', '"muon"'],
        }
    )


def test_few_values_stand_below_their_panel_and_many_on_a_scale(trials: pd.DataFrame) -> None:
    width, rate, name, *_ = plot_parameters(trials).axes

    assert [text.get_text() for text in width.get_xticklabels()] == ["192", "256"]
    assert rate.get_xscale() == "log"
    assert "0.0028216" not in [text.get_text() for text in rate.get_xticklabels()]
    assert [text.get_text() for text in name.get_xticklabels()] == ["adam", "muon"]


@pytest.mark.parametrize(("state", "is_named"), [("complete", False), ("pruned", True)])
def test_the_legend_names_what_is_there(trials: pd.DataFrame, state: str, is_named: bool) -> None:
    trials.loc[2, "state"] = state

    (axes,) = plot_search(trials).axes

    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert ("given up, or not ended" in named) is is_named
