"""One step of the optimizer."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from minigpt_pipeline.model.losses import loss_of_batch
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.parameters import OptimizerParameters

Step = Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]
"""From inputs and labels, both int32 (batch_size, length), to the summed loss in nats and the number of words."""

OPTIMIZERS = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}


def make_optimizer(parameters: OptimizerParameters, precision: str) -> keras.optimizers.Optimizer:
    """Make the optimizer.

    Args:
        parameters: Its name and learning rate.
        precision: In `mixed_float16` gradients are scaled, so that small ones are not rounded to nothing
            ([Micikevicius et al., 2018](https://arxiv.org/abs/1710.03740)).
    """
    optimizer = OPTIMIZERS[parameters.name](learning_rate=parameters.learning_rate)
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


def compile_step(model: MiniGPT, optimizer: keras.optimizers.Optimizer, batch_shape: tuple[int, int]) -> Step:
    """Compile a step that makes the mean loss of the words of a batch smaller.

    Args:
        model: The model, in the precision of training.
        optimizer: What changes its weights.
        batch_shape: Of inputs and labels, `(batch_size, length)`; every batch has it.
    """
    import tensorflow as tf

    optimizer.build(model.trainable_variables)
    token_ids = tf.TensorSpec(batch_shape, tf.int32)

    @tf.function(input_signature=[token_ids, token_ids], autograph=False)
    def step(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            loss_sum, num_words = loss_of_batch(model, inputs, labels, training=True)
            # By its words and not by its places: padding weighs nothing, also in a batch that is mostly padding.
            loss = optimizer.scale_loss(loss_sum / tf.maximum(num_words, 1.0))
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        # Those of the embeddings are lists of rows; Adam moves every row, and would make each of its terms dense.
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        optimizer.apply(gradients, variables)
        return loss_sum, num_words

    step.get_concrete_function()  # traced here, so that the first step's time is a step's time
    return step  # type: ignore[no-any-return]
