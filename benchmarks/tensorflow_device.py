"""TensorFlow on a device, and nothing else changed: the reference runs with the library's own settings."""


def choose_device(device: str) -> str:
    """Let TensorFlow see what `device` allows.

    Args:
        device: `auto`, `cpu` or `gpu`.

    Returns:
        `CPU`, or the name of the GPU.

    Raises:
        RuntimeError: If a GPU is asked for and there is none.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise RuntimeError("--device gpu, but TensorFlow sees no GPU: install a driver and the extra `gpu`")
    if device == "cpu":
        gpus = []
    tf.config.set_visible_devices(gpus, "GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)  # so that the variants fit beside each other
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU") if gpus else "CPU"


def peak_device_memory() -> dict[str, float]:
    """Return `device_memory_bytes`, the most of the GPU's memory that was used; nothing without a GPU."""
    import tensorflow as tf

    if not tf.config.get_visible_devices("GPU"):
        return {}
    return {"device_memory_bytes": float(tf.config.experimental.get_memory_info("GPU:0")["peak"])}
