"""The generator as MLflow serves it: a model from code, loaded from what a run logged, with nothing pickled."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel, PythonModelContext

from minigpt_pipeline.model.generation import Writer, generate_texts
from minigpt_pipeline.model.saved_model import load_trained_model
from minigpt_pipeline.parameters import SamplingParameters

ZERO_IS_OFF = ("top_k", "min_p", "no_repeat_ngram_size")
"""Parameters of a signature have a type and can't be null."""


class TextGeneratorModel(PythonModel):
    """Turns prompts into texts."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights and the tokenizer."""
        trained_model = load_trained_model(Path(context.artifacts["trained_model"]))
        self._tokenizer = trained_model.tokenizer
        self._writer = Writer(trained_model.load_model(), trained_model.has_learnt_ends)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Write one text for each prompt.

        Args:
            context: Not used.
            model_input: Column `prompt`.
            params: `max_new_tokens`, `temperature` (0: always the most probable token), `top_k` (0: all tokens),
                `top_p` (1: all tokens), `min_p` (0: all tokens), `repetition_penalty` (1: none), `no_repeat_ngram_size`
                (0: all may be repeated), `stop_at_end_of_review`, `seed`; see `SamplingParameters`.

        Returns:
            Columns `text`, the prompt and what follows, and `readable_text`, the same as people write it, in the rows
            of the prompts.

        Raises:
            MlflowException: If a parameter or a prompt can't be used; a server answers 400 and says why.
        """
        chosen = dict(params or {})
        seed = int(chosen.pop("seed"))
        for name in ZERO_IS_OFF:
            chosen[name] = chosen[name] or None
        prompts = model_input["prompt"].tolist()
        seeds = [seed] * len(prompts)
        try:
            sampling = SamplingParameters(stop_token=None, **chosen)
            texts = generate_texts(self._writer, self._tokenizer, prompts, sampling, seeds)
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return pd.DataFrame(texts)[["text", "readable_text"]]


mlflow.models.set_model(TextGeneratorModel())
