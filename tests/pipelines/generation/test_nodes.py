import io

import pandas as pd

from minigpt_pipeline.pipelines.generation.nodes import MODEL_COLOUR, plot_loss, plot_samples

HISTORY = pd.DataFrame(
    {
        "step": [1, 2, 2],
        "name": ["train/loss", "train/loss", "val/loss"],
        "value": [5.0, 4.0, 4.2],
        "epoch": 1,
        "words": 9,
    }
)


def samples(text: str, prompt: str = "the best") -> pd.DataFrame:
    row = {
        "epoch": 1,
        "prompt": prompt,
        "sample": 0,
        "text": "as the model writes it",
        "readable_text": text,
        "temperature": 1.0,
        "top_k": 10,
        "top_p": None,
        "seed": 0,
    }
    return pd.DataFrame([row, row | {"sample": 1}])


def test_plot_samples_shows_every_word() -> None:
    text = "the best " + "scene " * 40 + "costs $ 5 and $ 6"

    (axes,) = plot_samples(samples(text)).axes

    shown = " ".join(drawn.get_text() for drawn in axes.texts if drawn.get_color() != MODEL_COLOUR)
    assert shown.replace(r"\$", "$").split() == 2 * text.split()


def test_plot_samples_colours_the_prompt_as_the_text_has_it() -> None:
    prompt = "it costs $ 5 , " + "really " * 20 + "<br /> now"
    text = "It costs $5, " + "really " * 20 + "now or never"

    (axes,) = plot_samples(samples(text, prompt)).axes

    coloured = " ".join(drawn.get_text() for drawn in axes.texts if drawn.get_color() == MODEL_COLOUR)
    assert " ".join(coloured.split()) == " ".join(2 * [r"It costs \$5, " + "really " * 20 + "now"]).replace(
        "  ", " "
    )


def test_plot_samples_draws_what_would_be_a_formula() -> None:
    plot_samples(samples("the best $ x^{ $ and _ { }")).savefig(io.BytesIO())


def test_plot_loss_draws_both_curves() -> None:
    (axes,) = plot_loss(HISTORY).axes

    curves = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert curves == {
        "training, per token": [[1, 5.0], [2, 4.0]],
        "validation films, per word": [[2, 4.2]],
    }
    assert axes.get_ylabel() == "loss (nats)"
