"""A version of the registered model, ready to write."""

import logging
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt_pipeline.model.generation import Writer
from minigpt_pipeline.model.generation_loop import compile_all
from minigpt_pipeline.model.saved_model import TrainedModel, load_trained_model
from minigpt_pipeline.model.slots import WrittenText
from minigpt_pipeline.parameters import SamplingParameters

if TYPE_CHECKING:
    from minigpt_pipeline.tracking.model_registry import ModelRegistry

logger = logging.getLogger(__name__)

SHOWN_CHARACTERS = 40
"""Of a prompt, in a message."""


class ServedModel:
    """Begins texts; what it needs to write them is compiled already.

    Args:
        name: Of the registered model.
        version: Which.
        data: Folder of the data that it was trained on; empty where nobody knows.
        trained_model: Its weights and tokenizer.
        num_slots: Texts that it writes side by side, at most.
    """

    def __init__(
        self, name: str, version: str, data: str, trained_model: TrainedModel, num_slots: int
    ) -> None:
        self.name, self.version, self.data = name, version, data
        self.tokenizer = trained_model.tokenizer
        self.has_learnt_ends = trained_model.has_learnt_ends
        model = trained_model.load_model()
        self.context: int = model.sequence_length
        self.writer = Writer(model, self.has_learnt_ends)
        compile_all(model, num_slots)

    def encode(self, prompts: list[str]) -> list[list[int]]:
        """Return the token ids of each prompt.

        Raises:
            ValueError: If a prompt has no word, or none that the model knows.
        """
        encoded = [self.tokenizer.encode(prompt) for prompt in prompts]
        for prompt, token_ids in zip(prompts, encoded, strict=True):
            shown = repr(prompt if len(prompt) <= SHOWN_CHARACTERS else f"{prompt[:SHOWN_CHARACTERS]}…")
            if not token_ids:
                raise ValueError(f"The prompt {shown} has no word in it: begin with one")
            if all(token_id == self.tokenizer.unknown_id for token_id in token_ids):
                raise ValueError(f"The model knows no word of the prompt {shown}: begin with others")
        return encoded

    def begin(self, prompt_ids: list[int], sampling: SamplingParameters, seed: int) -> WrittenText:
        """Return a text of which only the prompt is there.

        Raises:
            ValueError: If it shall stop at ends that the model has not learnt.
        """
        return self.writer.begin(prompt_ids, sampling, None, seed)


def load_version(registry: "ModelRegistry", version: str, num_slots: int) -> ServedModel:
    """Fetch a version from the store and get it ready.

    Raises:
        RegistryError: If the store has no such version.
        TrackingStoreError: If the store does not answer.
        ValueError: If its file is damaged, or of another version of the project.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trained_model = load_trained_model(registry.fetch(version, Path(folder)))
    data = registry.tags(version).get("data", "")
    served = ServedModel(registry.name, version, data, trained_model, num_slots)
    logger.info("Loaded version %s of %s in %.1f s", version, registry.name, time.monotonic() - started)
    return served
