"""The generator as MLflow serves it: a model from code, loaded from what a run logged, with nothing pickled."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from minigpt_pipeline.model.generation import Writer, generate_texts
from minigpt_pipeline.model.saved_model import load_trained_model
from minigpt_pipeline.parameters import SamplingParameters


class TextGeneratorModel(PythonModel):
    """Turns prompts into texts."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights and the vocabulary."""
        trained_model = load_trained_model(Path(context.artifacts["trained_model"]))
        self._vocabulary = trained_model.vocabulary
        self._writer = Writer(trained_model.load_model())

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Write one text for each prompt.

        Args:
            context: Not used.
            model_input: Column `prompt`.
            params: `max_new_tokens`, `temperature` (0: always the most probable word), `top_k` (0: all words),
                `top_p` (1: all words), `seed`.

        Returns:
            Column `text`: the prompt and what follows, in the rows of the prompts.
        """
        chosen = dict(params or {})
        seed = int(chosen.pop("seed"))
        chosen["top_k"] = chosen["top_k"] or None
        sampling = SamplingParameters(stop_token=None, **chosen)
        prompts = model_input["prompt"].tolist()
        seeds = [seed] * len(prompts)
        texts = generate_texts(self._writer, self._vocabulary, prompts, sampling, seeds)
        return pd.DataFrame({"text": texts})


mlflow.models.set_model(TextGeneratorModel())
