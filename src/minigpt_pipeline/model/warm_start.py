"""A training that starts from the weights of another model."""

import logging
from collections.abc import Iterator

from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

MAY_DIFFER = {"dropout", "dtype", "name"}
"""What of a model's config is not about what its weights mean."""


def start_from(former: TrainedModel, network: MiniGPT, tokenizer: Tokenizer) -> str | None:
    """Give a model the weights of another one where they mean the same in both; else warn, and leave it as it is.

    Args:
        former: Where the weights come from.
        network: Changed in place.
        tokenizer: Of the network.

    Returns:
        The digest of the weights that it has taken; null where they do not fit.
    """
    differences = list(_list_differences(former, network, tokenizer))
    if differences:
        logger.warning(
            "The champion's weights do not fit, and training starts from fresh ones: %s",
            "; ".join(differences),
        )
        return None
    network.set_weights(former.load_model().get_weights())
    logger.info("Starting from the champion's weights, %s", former.weights_digest)
    return former.weights_digest


def _list_differences(former: TrainedModel, network: MiniGPT, tokenizer: Tokenizer) -> Iterator[str]:
    there, here = former.load_model().get_config(), network.get_config()
    for name in sorted(here.keys() - MAY_DIFFER):
        if there[name] != here[name]:
            yield f"{name} is {here[name]}, the champion's is {there[name]}"
    if former.tokenizer.digest != tokenizer.digest:
        yield f"the tokens are {tokenizer.digest}, the champion's are {former.tokenizer.digest}"
