"""A real server on loopback in a thread, with small models of fresh weights."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from minigpt_pipeline.model.saved_model import TrainedModel
from minigpt_pipeline.serving.access import Keys
from minigpt_pipeline.serving.app import make_app
from minigpt_pipeline.serving.engine import Engine
from minigpt_pipeline.serving.served_model import ServedModel
from minigpt_pipeline.serving.settings import ServingSettings, read_settings
from minigpt_pipeline.serving.watch import Watch
from minigpt_pipeline.text.vocabulary import Vocabulary
from minigpt_pipeline.text.word_tokenizer import WordTokenizer
from tests.conftest import PROJECT

PROSE = "the best scene of this film is a plot that i saw with my own eyes in may . , and then"
WORDS = tuple(PROSE.split())
PATIENCE = 30.0
"""Seconds."""


@pytest.fixture(scope="session")
def make_trained_model() -> Callable[..., TrainedModel]:
    def make(seed: int) -> TrainedModel:
        import keras

        from minigpt_pipeline.model.mini_gpt import create_model
        from minigpt_pipeline.parameters import ModelParameters

        keras.utils.set_random_seed(seed)
        tokenizer = WordTokenizer(Vocabulary(("", "[UNK]", *WORDS)), forms=("I", "May"))
        sizes = ModelParameters(
            sequence_length=24,
            embed_dim=16,
            num_heads=2,
            head_dim=8,
            feed_forward_dim=32,
            num_blocks=1,
            dropout=0.0,
            output_layer="full",
            normalization="post",
            positions="learned",
            activation="relu",
        )
        model = create_model(sizes, len(tokenizer))
        return TrainedModel.from_model(model, tokenizer, {"seed": seed, "epochs": 1, "has_learnt_ends": True})

    return make


@pytest.fixture(scope="session")
def make_served(make_trained_model: Callable[..., TrainedModel]) -> Callable[..., ServedModel]:
    def make(version: str, seed: int, num_slots: int = 8) -> ServedModel:
        return ServedModel("minigpt", version, "data/test", make_trained_model(seed), num_slots)

    return make


@pytest.fixture(scope="session")
def first(make_served: Callable[..., ServedModel]) -> ServedModel:
    """Version 1."""
    return make_served("1", 1, 64)


@pytest.fixture(scope="session")
def second(make_served: Callable[..., ServedModel]) -> ServedModel:
    """Version 2, which writes otherwise."""
    return make_served("2", 2, 64)


class RunningServer:
    """What a test needs of it."""

    def __init__(self, address: str, engine: Engine, watch: Watch, settings: ServingSettings) -> None:
        self.engine, self.watch, self.settings = engine, watch, settings
        self.client = httpx.Client(base_url=address, timeout=PATIENCE)
        self.address = address

    def ask(self, prompt: Any = "the best scene", **fields: Any) -> httpx.Response:
        return self.client.post("/v1/generate", json={"prompt": prompt} | fields)

    def figure(self, line: str) -> float:
        """Return what `/metrics` says; 0 where it says nothing."""
        found = [
            told for told in self.client.get("/metrics").text.splitlines() if told.startswith(f"{line} ")
        ]
        return float(found[0].split()[-1]) if found else 0.0

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture(scope="session")
def base_settings() -> ServingSettings:
    return read_settings(PROJECT)


@pytest.fixture
def run_server(base_settings: ServingSettings, tmp_path: Path) -> Callable[..., Any]:
    @contextmanager
    def run(model: ServedModel | None, keys: Keys | None = None, **changes: Any) -> Iterator[RunningServer]:
        settings = ServingSettings(**base_settings.model_dump() | changes)
        watch = Watch(tmp_path / "served", 30, settings.log.texts)
        engine = Engine(settings.slots, settings.max_waiting)
        if model is not None:
            engine.use(model)
        app = make_app(settings, engine, watch, keys=keys)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        running = RunningServer(f"http://127.0.0.1:{port}", engine, watch, settings)
        try:
            yield running
        finally:
            running.client.close()
            server.should_exit = True
            thread.join()
            watch.close()

    return run


@pytest.fixture
def server(run_server: Callable[..., Any], first: ServedModel) -> Iterator[RunningServer]:
    with run_server(first) as running:
        yield running
