"""Where and how precisely TensorFlow computes."""

import logging
import os
from contextlib import suppress
from dataclasses import dataclass

from minigpt_pipeline.parameters import ComputeSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComputeDevice:
    """What the settings came to on this machine.

    Args:
        name: `CPU`, or the name of the GPU.
        precision: Of the training step, a Keras dtype policy.
    """

    name: str
    precision: str


def configure_compute(settings: ComputeSettings) -> ComputeDevice:
    """Set TensorFlow up, before it computes anything; doing it again with the same settings changes nothing.

    Args:
        settings: Device, precision, memory growth, determinism.

    Returns:
        The device that was taken.

    Raises:
        RuntimeError: If a GPU is asked for and there is none, Keras does not run on TensorFlow, or TensorFlow has
            already computed on other devices.
    """
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"Keras runs on {keras.backend.backend()!r}, and the training loop needs TensorFlow: "
            "unset KERAS_BACKEND, or set it to tensorflow"
        )
    gpus = tf.config.list_physical_devices("GPU")
    if settings.device == "gpu" and not gpus:
        raise RuntimeError(_describe_missing_gpu(tf.config.list_physical_devices()))
    if settings.device == "cpu":
        gpus = []
    try:
        tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, settings.memory_growth)
    except RuntimeError as error:
        raise RuntimeError(
            f"TensorFlow has already computed and can't change to device={settings.device!r}, "
            f"memory_growth={settings.memory_growth} in the same process: start a new one"
        ) from error
    if not gpus:
        # Two kernels at once fight for the cores that each of them uses in full. It is a matter of speed alone.
        with suppress(RuntimeError):  # TensorFlow has already computed
            tf.config.threading.set_inter_op_parallelism_threads(1)
    # float32 means float32, for the sake of the measure; who wants tensor cores asks for mixed_bfloat16.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"
    logger.info("Computing on %s, training in %s", name, settings.precision)
    return ComputeDevice(name, settings.precision)


def _describe_missing_gpu(devices: list[object]) -> str:
    seen = ", ".join(str(getattr(device, "name", device)) for device in devices) or "nothing"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    hint = "" if hidden is None else f", check CUDA_VISIBLE_DEVICES (now {hidden!r})"
    return (
        f"device='gpu', but TensorFlow sees no GPU, only {seen}: install a CUDA driver and the extra `gpu` "
        f"(pip install --editable '.[gpu]'){hint}, or set device to auto or cpu in conf/*/catalog_compute.yml"
    )
