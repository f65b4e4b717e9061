"""`python -m minigpt_pipeline.serving`, behind `make serve`: serve the champion until Ctrl-C."""

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console

from minigpt_pipeline.hidden import escape, hide_in_logs
from minigpt_pipeline.quiet import quieten
from minigpt_pipeline.serving.access import read_keys
from minigpt_pipeline.serving.settings import ServingError, ServingSettings, read_settings

if TYPE_CHECKING:
    import uvicorn

    from minigpt_pipeline.serving.engine import Engine
    from minigpt_pipeline.serving.watch import Watch

logger = logging.getLogger("minigpt_pipeline.serving")

BACKLOG = 1024
"""Connections that wait to be accepted."""
SECONDS_TO_SAY_SO = 2
"""That clients have to read why their texts were given up."""


def main(arguments: list[str] | None = None) -> int:
    """Serve; 1 where that can't be done."""
    parser = argparse.ArgumentParser(prog="python -m minigpt_pipeline.serving", description=__doc__)
    parser.add_argument("--host", help="the address to listen at (conf/base/serving.yml: this machine alone)")
    parser.add_argument("--port", type=int, help="0 takes one that is free (conf/base/serving.yml: 8000)")
    chosen = parser.parse_args(arguments)
    quieten()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    hide_in_logs()
    logging.getLogger("minigpt_pipeline").setLevel(logging.INFO)
    from minigpt_pipeline.tracking.store import TrackingStoreError

    given = {name: value for name, value in vars(chosen).items() if value is not None}
    try:
        settings = read_settings(Path.cwd(), given)
        return serve(Path.cwd(), settings)
    except KeyboardInterrupt:  # while it starts
        return 128 + signal.SIGINT
    except (ServingError, TrackingStoreError, OSError) as error:
        Console(stderr=True, highlight=False).print(f"Error: {escape(str(error))}", soft_wrap=True)
        return 1


def serve(project: Path, settings: ServingSettings) -> int:
    """Serve until somebody ends it.

    Args:
        project: Its root.
        settings: What is served where.

    Returns:
        The exit code.

    Raises:
        ServingError: If the address is taken, or others could reach it without a key.
        TrackingStoreError: If the MLflow store does not answer.
    """
    import uvicorn

    keys = read_keys(os.environ, settings)
    listening = _listen(settings)

    from minigpt_pipeline.serving.app import make_app
    from minigpt_pipeline.serving.champion import ChampionFollower
    from minigpt_pipeline.serving.engine import Engine
    from minigpt_pipeline.serving.protocol import make_protocol
    from minigpt_pipeline.serving.served_model import ServedModel
    from minigpt_pipeline.serving.watch import Watch
    from minigpt_pipeline.tracking.model_registry import ModelRegistry
    from minigpt_pipeline.tracking.store import connect, read_tracking_settings

    connect(read_tracking_settings(project, "local"), project)
    watch = Watch(project / settings.log.folder, settings.log.keep_days, settings.log.texts)
    watch.slots.set(settings.slots)
    engine = Engine(settings.slots, settings.max_waiting)

    def use(model: ServedModel) -> None:
        engine.use(model)
        watch.put_in_use(model.name, model.version, model.data)
        logger.info("Version %s of %s is in use", model.version, model.name)

    registry = ModelRegistry(settings.registered_model)
    follower = ChampionFollower(registry, settings.alias, settings.slots, settings.look_every, use)
    app = make_app(settings, engine, watch, follower.start, follower.stop, keys)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        http=make_protocol(settings.max_seconds_to_ask),
        timeout_graceful_shutdown=int(settings.max_seconds_to_end) + SECONDS_TO_SAY_SO,
    )
    received: list[int] = []
    server = make_server(config, engine, watch, settings.max_seconds_to_end)

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)
        server.should_exit = True  # where uvicorn has not begun to run

    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn has handlers of its own while it runs, and sends itself what it was sent when it has ended.
        signal.signal(number, note)
    host, port = listening.getsockname()[:2]
    Console(stderr=True, highlight=False).print(
        f"http://{host}:{port} is the page; POST /v1/generate, /openapi.json; Ctrl-C ends it", soft_wrap=True
    )
    try:
        server.run([listening])
    finally:
        watch.close()
    code = 128 + signal.SIGINT if signal.SIGINT in received else 0  # SIGTERM is how a service ends
    engine.end()
    if follower.is_at_work:
        # A model is being loaded: Python's own end stops threads inside of TensorFlow, which aborts or hangs.
        logging.shutdown()
        os._exit(code)
    return code


def make_server(
    config: "uvicorn.Config", engine: "Engine", watch: "Watch", max_seconds_to_end: float
) -> "uvicorn.Server":
    """Return a server that writes what was begun to its end when it is told to stop, and begins nothing more.

    Args:
        config: Of the server.
        engine: Is told to refuse texts, and to give up those that take too long.
        watch: Is told that it refuses them.
        max_seconds_to_end: That these have.
    """
    import uvicorn

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            engine.refuse()
            watch.take_no_more()
            in_time = threading.Timer(max_seconds_to_end, engine.end)
            in_time.daemon = True
            in_time.start()
            super().handle_exit(sig, frame)

    return Server(config)


def _listen(settings: ServingSettings) -> socket.socket:
    """Take the address before anything slow is loaded."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ServingError(
            f"{settings.host}:{settings.port} can't be listened at ({error.strerror or error}): end what is there, or "
            f"name another port, make serve PORT={settings.port + 1}"
        ) from error
    return listening


if __name__ == "__main__":
    sys.exit(main())
