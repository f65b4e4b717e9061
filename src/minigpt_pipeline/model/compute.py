"""Where and how precisely TensorFlow computes."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from minigpt_pipeline.model import workers
from minigpt_pipeline.model.cluster import Cluster
from minigpt_pipeline.parameters import ComputeSettings

if TYPE_CHECKING:
    import tensorflow as tf

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComputeDevice:
    """What the settings came to on this machine.

    Args:
        name: `CPU`, or the name of the GPU; with their number where there are several.
        precision: Of the training step, a Keras dtype policy.
        mirrored: Names of the logical devices that train together, `GPU:0`; empty where one trains alone.
        xla: Whether the whole training step is compiled with XLA.
        num_workers: Processes that train together, each on such devices.
    """

    name: str
    precision: str
    mirrored: tuple[str, ...] = ()
    xla: bool = False
    num_workers: int = 1

    def make_strategy(self) -> "tf.distribute.Strategy":
        """Return how weights and batches are spread over the devices."""
        import tensorflow as tf

        if self.num_workers > 1:
            return workers.find_strategy()
        return (
            tf.distribute.MirroredStrategy(self.mirrored) if self.mirrored else tf.distribute.get_strategy()
        )


ONE_CPU = ComputeDevice("CPU", "float32")


def configure_compute(settings: ComputeSettings, cluster: Cluster | None = None) -> ComputeDevice:
    """Set TensorFlow up, before it computes anything; doing it again with the same settings changes nothing.

    Args:
        settings: Devices and their memory, precision, strategy, determinism.
        cluster: Of the workers that this process trains together with; null means that it computes alone.

    Returns:
        The devices that were taken.

    Raises:
        RuntimeError: If a GPU, or the precision of one, is asked for and none is there, Keras does not run on
            TensorFlow, TensorFlow has already computed on other devices, or the workers don't come together.
    """
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"Keras runs on {keras.backend.backend()!r}, and the training loop needs TensorFlow: "
            "unset KERAS_BACKEND, or set it to tensorflow"
        )
    gpus = _choose_gpus(settings)
    if settings.precision == "mixed_float16" and not gpus:
        raise RuntimeError(
            "precision='mixed_float16' is for GPUs, and training would run on the CPU: take mixed_bfloat16, or float32 "
            "where the processor has no instructions for it, in conf/*/globals.yml or with --params precision=..."
        )
    try:
        _set_up_devices(settings, gpus)
    except RuntimeError as error:
        fields = {"device", "memory_growth", "memory_limit_mb", "visible_devices", "logical_cpus"}
        asked = settings.model_dump(include=fields, exclude_none=True)
        raise RuntimeError(
            f"TensorFlow has already computed and can't change to "
            f"{', '.join(f'{name}={value!r}' for name, value in asked.items())} in the same process: "
            f"start a new one ({error})"
        ) from error
    if not gpus:
        # Two kernels at once fight for the cores that each of them uses in full. It is a matter of speed alone.
        with suppress(RuntimeError):  # TensorFlow has already computed
            tf.config.threading.set_inter_op_parallelism_threads(1)
    # float32 means float32, for the sake of the measure; who wants tensor cores asks for mixed_bfloat16.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    device = _describe_device(settings, gpus)
    if cluster is not None and len(cluster.addresses) > 1:
        workers.join(cluster, settings, max(1, len(device.mirrored)))
        num_workers = len(cluster.addresses)
        device = replace(device, name=f"{num_workers} workers of {device.name}", num_workers=num_workers)
    logger.info("Computing on %s, training in %s", device.name, device.precision)
    return device


def _choose_gpus(settings: ComputeSettings) -> list[Any]:
    import tensorflow as tf

    if settings.device == "cpu":
        return []
    gpus = tf.config.list_physical_devices("GPU")
    if settings.device == "gpu" and not gpus:
        raise RuntimeError(_describe_missing_gpu(tf.config.list_physical_devices()))
    if settings.visible_devices is None or not gpus:
        return list(gpus)
    missing = [number for number in settings.visible_devices if number >= len(gpus)]
    if missing:
        raise RuntimeError(
            f"visible_devices names GPU {missing[0]}, but TensorFlow sees {len(gpus)}, "
            f"{', '.join(f'{number}: {gpu.name}' for number, gpu in enumerate(gpus))}: "
            "change visible_devices in conf/*/catalog_compute.yml, or set it to null"
        )
    return [gpus[number] for number in settings.visible_devices]


def _set_up_devices(settings: ComputeSettings, gpus: Sequence[Any]) -> None:
    """Take the GPUs and nothing else; raise RuntimeError where TensorFlow has taken others before."""
    import tensorflow as tf

    tf.config.set_visible_devices(gpus, "GPU")
    for gpu in gpus:
        if settings.memory_limit_mb is None:
            tf.config.experimental.set_memory_growth(gpu, settings.memory_growth)
        else:
            limit = tf.config.LogicalDeviceConfiguration(memory_limit=settings.memory_limit_mb)
            tf.config.set_logical_device_configuration(gpu, [limit])
    if not gpus and settings.logical_cpus is not None:
        parts = [tf.config.LogicalDeviceConfiguration()] * settings.logical_cpus
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)


def _describe_device(settings: ComputeSettings, gpus: Sequence[Any]) -> ComputeDevice:
    import tensorflow as tf

    kind = "GPU" if gpus else "CPU"
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
    names = names or ["CPU"] * (settings.logical_cpus or 1)
    mirrored: tuple[str, ...] = ()
    if settings.strategy != "one_device" and len(names) > 1:  # one alone has nothing to mirror
        mirrored = tuple(f"{kind}:{number}" for number in range(len(names)))
    counts = Counter(names if mirrored else names[:1])
    name = ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())
    return ComputeDevice(name, settings.precision, mirrored, settings.xla)


def _describe_missing_gpu(devices: list[object]) -> str:
    seen = ", ".join(str(getattr(device, "name", device)) for device in devices) or "nothing"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    hint = "" if hidden is None else f", check CUDA_VISIBLE_DEVICES (now {hidden!r})"
    return (
        f"device='gpu', but TensorFlow sees no GPU, only {seen}: install a CUDA driver and the extra `gpu` "
        f"(pip install --editable '.[gpu]'){hint}, or set device to auto or cpu in conf/*/catalog_compute.yml"
    )
