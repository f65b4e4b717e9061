import logging
import subprocess
import sys
from typing import Any

import keras
import pytest
import tensorflow as tf

from minigpt_pipeline.model.compute import ComputeDevice, configure_compute
from minigpt_pipeline.parameters import ComputeSettings


def settings(**changes: Any) -> ComputeSettings:
    values = {"device": "auto", "precision": "float32", "memory_growth": True, "deterministic": True}
    return ComputeSettings(**values | changes)


class FakeGpu:
    name = "/physical_device:GPU:0"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A TensorFlow that sees one GPU, and what was asked of it."""
    calls: dict[str, Any] = {}
    config, experimental = tf.config, tf.config.experimental
    monkeypatch.setattr(config, "list_physical_devices", lambda kind=None: [FakeGpu()])
    monkeypatch.setattr(config, "set_visible_devices", lambda gpus, kind: calls.update(visible=len(gpus)))
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
    assert calls == {"visible": 1, "growth": True, "deterministic": True}
    assert caplog.messages == ["Computing on Abacus 9, training in mixed_bfloat16"]


def test_configure_compute_hides_the_gpu_where_a_cpu_is_asked_for(calls: dict[str, Any]) -> None:
    assert configure_compute(settings(device="cpu", deterministic=False)).name == "CPU"
    assert calls == {"visible": 0, "kernels_at_once": 1}


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
        RuntimeError, match="can't change to device='cpu', memory_growth=True in the same process"
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
settings = ComputeSettings(device="cpu", precision="float32", memory_growth=True, deterministic=True)
for _ in range(2):
    print(configure_compute(settings).name, float(tf.reduce_sum(tf.ones(3))))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.split() == ["CPU", "3.0", "CPU", "3.0"]
