import logging
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import keras
import pytest
import tensorflow as tf

from minigpt_pipeline.model.compute import ComputeDevice, configure_compute
from minigpt_pipeline.parameters import ComputeSettings


def settings(**changes: Any) -> ComputeSettings:
    values = {"device": "auto", "precision": "float32", "memory_growth": True, "deterministic": True}
    return ComputeSettings(**values | changes)


@dataclass(frozen=True)
class FakeDevice:
    name: str


CPU = FakeDevice("CPU:0")


@pytest.fixture
def gpus() -> list[FakeDevice]:
    """The GPUs that TensorFlow sees."""
    return [FakeDevice("GPU:0")]


@pytest.fixture
def calls(gpus: list[FakeDevice], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A TensorFlow that sees some GPUs, and what was asked of it."""
    calls: dict[str, Any] = {}
    config, experimental = tf.config, tf.config.experimental

    def split(device: FakeDevice, parts: list[Any]) -> None:
        calls.setdefault("parts", []).append((device.name, [part.memory_limit for part in parts]))

    monkeypatch.setattr(
        config, "list_physical_devices", lambda kind=None: {"GPU": gpus, "CPU": [CPU]}.get(kind, [CPU, *gpus])
    )
    monkeypatch.setattr(
        config, "set_visible_devices", lambda gpus, kind: calls.update(visible=[gpu.name for gpu in gpus])
    )
    monkeypatch.setattr(config, "set_logical_device_configuration", split)
    monkeypatch.setattr(
        config.threading,
        "set_inter_op_parallelism_threads",
        lambda count: calls.update(kernels_at_once=count),
    )
    monkeypatch.setattr(experimental, "set_memory_growth", lambda gpu, growth: calls.update(growth=growth))
    monkeypatch.setattr(experimental, "get_device_details", lambda gpu: {"device_name": "Abacus 9"})
    monkeypatch.setattr(experimental, "enable_op_determinism", lambda: calls.update(deterministic=True))
    return calls


@pytest.mark.parametrize("device", ["auto", "gpu"])
def test_configure_compute_takes_a_gpu_and_says_which(
    device: str, calls: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        taken = configure_compute(settings(device=device, precision="mixed_bfloat16"))

    assert taken == ComputeDevice("Abacus 9", "mixed_bfloat16")
    assert calls == {"visible": ["GPU:0"], "growth": True, "deterministic": True}
    assert caplog.messages == ["Computing on Abacus 9, training in mixed_bfloat16"]


def test_configure_compute_hides_the_gpu_where_a_cpu_is_asked_for(calls: dict[str, Any]) -> None:
    assert configure_compute(settings(device="cpu", deterministic=False)).name == "CPU"
    assert calls == {"visible": [], "kernels_at_once": 1}


def test_configure_compute_limits_the_memory_of_each_gpu(
    gpus: list[FakeDevice], calls: dict[str, Any]
) -> None:
    gpus.append(FakeDevice("GPU:1"))

    configure_compute(settings(memory_growth=False, memory_limit_mb=4000))

    assert calls["parts"] == [("GPU:0", [4000]), ("GPU:1", [4000])]
    assert "growth" not in calls


def test_configure_compute_takes_the_gpus_that_are_named(
    gpus: list[FakeDevice], calls: dict[str, Any]
) -> None:
    gpus += [FakeDevice("GPU:1"), FakeDevice("GPU:2")]

    taken = configure_compute(settings(visible_devices=(2, 0), strategy="mirrored"))

    assert calls["visible"] == ["GPU:2", "GPU:0"]
    assert (taken.name, taken.mirrored) == (
        "2 x Abacus 9",
        ("GPU:0", "GPU:1"),
    )  # as TensorFlow numbers them now


def test_configure_compute_refuses_a_gpu_that_is_not_there(calls: dict[str, Any]) -> None:
    with pytest.raises(
        RuntimeError, match=r"names GPU 1, but TensorFlow sees 1, 0: GPU:0: change visible_devices in conf"
    ):
        configure_compute(settings(visible_devices=(0, 1)))


def test_configure_compute_refuses_float16_on_a_cpu(gpus: list[FakeDevice], calls: dict[str, Any]) -> None:
    assert configure_compute(settings(precision="mixed_float16")).precision == "mixed_float16"

    for device in ("cpu", "auto"):
        with pytest.raises(
            RuntimeError, match=r"precision='mixed_float16' is for GPUs, .*: take mixed_bfloat16"
        ):
            configure_compute(settings(precision="mixed_float16", device=device))
        gpus.clear()


def test_one_device_has_nothing_to_mirror(calls: dict[str, Any]) -> None:
    taken = configure_compute(settings(strategy="mirrored"))

    assert (taken.name, taken.mirrored) == ("Abacus 9", ())
    assert taken.make_strategy() is tf.distribute.get_strategy()


def test_several_gpus_without_a_strategy_are_one_device(
    gpus: list[FakeDevice], calls: dict[str, Any]
) -> None:
    gpus.append(FakeDevice("GPU:1"))

    assert configure_compute(settings()) == ComputeDevice("Abacus 9", "float32")


def test_configure_compute_refuses_a_missing_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr(
        tf.config,
        "list_physical_devices",
        lambda kind=None: [] if kind == "GPU" else [type("Cpu", (), {"name": "CPU:0"})()],
    )

    with pytest.raises(
        RuntimeError,
        match=r"device='gpu', but TensorFlow sees no GPU, only CPU:0: install .*\(now '-1'\).* set device",
    ):
        configure_compute(settings(device="gpu"))


def test_configure_compute_refuses_to_change_devices_too_late(
    calls: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(gpus: list[object], kind: str) -> None:
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "set_visible_devices", refuse)

    with pytest.raises(
        RuntimeError, match=r"can't change to device='cpu', memory_growth=True in the same process.*\(Visible"
    ):
        configure_compute(settings(device="cpu"))


def test_configure_compute_refuses_another_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")

    with pytest.raises(RuntimeError, match="Keras runs on 'jax'"):
        configure_compute(settings())


def test_configure_compute_can_be_done_again_after_computing() -> None:
    code = """
from minigpt_pipeline.model.compute import configure_compute
from minigpt_pipeline.parameters import ComputeSettings
import tensorflow as tf
settings = ComputeSettings(
    device="cpu", precision="float32", memory_growth=True, deterministic=True, logical_cpus=2, strategy="mirrored"
)
for _ in range(2):
    print(configure_compute(settings).name, float(tf.reduce_sum(tf.ones(3))))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.splitlines() == ["2 x CPU 3.0"] * 2
