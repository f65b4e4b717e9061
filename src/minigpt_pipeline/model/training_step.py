"""One step of the optimizer."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from minigpt_pipeline.model.blocks import compiled
from minigpt_pipeline.model.losses import count_words, loss_of_batch
from minigpt_pipeline.model.mini_gpt import MiniGPT
from minigpt_pipeline.parameters import OptimizerParameters

Step = Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]
"""From inputs and labels, both int32 (batch_size, length), to the summed loss in nats and the number of words."""

OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "muon": keras.optimizers.Muon,
    "sgd": keras.optimizers.SGD,
}


def make_optimizer(
    parameters: OptimizerParameters, precision: str, last_step: int
) -> keras.optimizers.Optimizer:
    """Make the optimizer.

    Args:
        parameters: Its name, learning rate and the rest.
        precision: In `mixed_float16` gradients are scaled, so that small ones are not rounded to nothing
            ([Micikevicius et al., 2018](https://arxiv.org/abs/1710.03740)).
        last_step: Of the training, as far as it is known; a cosine without `decay_steps` ends there.
    """
    settings: dict[str, Any] = {
        "learning_rate": make_learning_rate(parameters, last_step),
        "global_clipnorm": parameters.clip_norm,
    }
    if parameters.name in {"adamw", "muon"}:  # whose own defaults are not zero
        settings["weight_decay"] = parameters.weight_decay
    if parameters.name == "muon":
        adam_learning_rate = parameters.adam_learning_rate or parameters.learning_rate
        settings |= {
            "exclude_layers": ["output_layer"],  # and the embeddings, which Keras leaves out by itself
            "adam_lr_ratio": adam_learning_rate / parameters.learning_rate,
            "adam_weight_decay": parameters.weight_decay,
        }
    if parameters.accumulation_steps > 1:
        settings["gradient_accumulation_steps"] = parameters.accumulation_steps
    if parameters.average_momentum is not None:
        settings |= {"use_ema": True, "ema_momentum": parameters.average_momentum}
    optimizer = OPTIMIZERS[parameters.name](**settings)
    # Decay is for the matrices that mix what they are given: not for biases, norms, or the vectors of words and places.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "embeddings"])
    return keras.optimizers.LossScaleOptimizer(optimizer) if precision == "mixed_float16" else optimizer


def make_learning_rate(
    parameters: OptimizerParameters, last_step: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Make the learning rate, or its course in time: up from zero, then constant or down along half a cosine.

    Args:
        parameters: Supplies the highest one, the steps of warm-up and decay.
        last_step: Where a cosine without `decay_steps` reaches zero.
    """
    highest, warmup_steps = parameters.learning_rate, parameters.warmup_steps
    if parameters.decay == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup_steps else highest,
            decay_steps=max(1, (parameters.decay_steps or last_step) - warmup_steps),
            warmup_target=highest if warmup_steps else None,
            warmup_steps=warmup_steps,
        )
    if warmup_steps:
        return keras.optimizers.schedules.PolynomialDecay(
            initial_learning_rate=0.0, decay_steps=warmup_steps, end_learning_rate=highest
        )
    return highest


def compile_step(
    model: MiniGPT,
    optimizer: keras.optimizers.Optimizer,
    batch_shape: tuple[int, int],
    learn_ends: bool = False,
    *,
    strategy: Any = None,
    xla: bool = False,
) -> Step:
    """Compile a step that makes the mean loss of the words of a batch smaller.

    Args:
        model: The model, in the precision of training.
        optimizer: What changes its weights.
        batch_shape: Of inputs and labels, `(batch_size, length)`; every batch has it.
        learn_ends: Whether the end of a review counts as a word; see `loss_of_batch`.
        strategy: The `tf.distribute.Strategy` in whose scope model and optimizer were made: each of its devices reads
            its part of a batch, and all take the step that one alone would take. Null means one device.
        xla: Whether loss and gradients are one program of XLA.

    Raises:
        ValueError: If the devices can't have equal parts of a batch.
    """
    import tensorflow as tf

    strategy = strategy or tf.distribute.get_strategy()
    num_devices = strategy.num_replicas_in_sync
    if batch_shape[0] % num_devices:
        raise ValueError(
            f"batch_size={batch_shape[0]} can't be divided among {num_devices} devices: make it a multiple of "
            f"{num_devices} in conf/base/parameters_training.yml, or set strategy to one_device in "
            "conf/*/catalog_compute.yml"
        )
    with strategy.scope():
        optimizer.build(model.trainable_variables)
    differentiate = _differentiating(model, optimizer, learn_ends)
    if xla:
        differentiate = tf.function(differentiate, jit_compile=True, autograph=False)
    apply = _applying(optimizer, model)
    if num_devices == 1:
        apply = compiled(apply)  # as one pass over the weights instead of a dozen

    def work(inputs: Any, labels: Any) -> tuple[Any, list[Any], Any]:
        """Do a device's part, and return the sums over all devices, also those of other workers."""
        device, total = tf.distribute.get_replica_context(), tf.distribute.ReduceOp.SUM
        num_words = device.all_reduce(total, count_words(inputs, labels, learn_ends))
        loss_sum, gradients = device.all_reduce(total, differentiate(inputs, labels, num_words))
        return loss_sum, gradients, num_words

    @tf.function(autograph=False)
    def step(inputs: Any, labels: Any) -> tuple[Any, Any]:
        done = strategy.run(work, args=(inputs, labels))
        loss_sum, gradients, num_words = tf.nest.map_structure(
            lambda sums: strategy.experimental_local_results(sums)[0], done
        )
        apply(gradients)
        return loss_sum, num_words

    nothing = _divide(np.zeros(batch_shape, np.int32), strategy)
    step.get_concrete_function(nothing, nothing)  # traced here: the first step's time is a step's time
    return lambda inputs, labels: step(_divide(inputs, strategy), _divide(labels, strategy))


def _differentiating(
    model: MiniGPT, optimizer: keras.optimizers.Optimizer, learn_ends: bool
) -> Callable[..., tuple[Any, list[Any]]]:
    """Return a function that gives the summed loss of a part of a batch, and its part of the mean's gradients."""
    import tensorflow as tf

    def differentiate(inputs: Any, labels: Any, num_all_words: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            loss_sum, _ = loss_of_batch(model, inputs, labels, training=True, learn_ends=learn_ends)
            # By its words and not by its places: padding weighs nothing, also in a batch that is mostly padding.
            loss = optimizer.scale_loss(loss_sum / tf.maximum(num_all_words, 1.0))
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        # Those of the embeddings are lists of rows; Adam moves every row, and would make each of its terms dense.
        return loss_sum, [tf.convert_to_tensor(gradient) for gradient in gradients]

    return differentiate


def _applying(optimizer: keras.optimizers.Optimizer, model: MiniGPT) -> Callable[..., None]:
    def apply(gradients: Sequence[Any]) -> None:
        optimizer.apply(gradients, model.trainable_variables)

    return apply


def _divide(batch: np.ndarray, strategy: Any) -> Any:
    """Give each device its part of a batch."""
    import tensorflow as tf

    if strategy.num_replicas_in_sync == 1:
        return tf.convert_to_tensor(batch)
    parts = np.split(batch, strategy.num_replicas_in_sync)
    return strategy.experimental_distribute_values_from_function(
        lambda device: tf.convert_to_tensor(parts[device.replica_id_in_sync_group])
    )
