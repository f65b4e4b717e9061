"""`python -m benchmarks.serve_fresh_model OVERRIDES`: a server of a model with fresh weights of the example's sizes.

They cost what trained ones cost. The first line on standard output is its port; it ends with its standard input.
"""

import json
import os
import socket
import sys
import threading
from typing import Any

from benchmarks import project
from benchmarks.harness import PROJECT
from benchmarks.reference import example_sizes


def make_word(number: int) -> str:
    """Return the word with an id."""
    return f"w{number}"


def main(overrides: dict[str, Any]) -> None:
    """Serve."""
    import uvicorn

    from minigpt_pipeline.model.saved_model import TrainedModel
    from minigpt_pipeline.serving.app import make_app
    from minigpt_pipeline.serving.engine import Engine
    from minigpt_pipeline.serving.served_model import ServedModel
    from minigpt_pipeline.serving.settings import read_settings
    from minigpt_pipeline.serving.watch import Watch
    from minigpt_pipeline.text.vocabulary import Vocabulary
    from minigpt_pipeline.text.word_tokenizer import WordTokenizer

    settings = read_settings(PROJECT)
    words = ("", "[UNK]", *map(make_word, range(2, example_sizes.VOCABULARY_SIZE)))
    model = project.make_model(
        project.open_catalog(project.EXAMPLE, overrides), example_sizes.VOCABULARY_SIZE
    )
    trained_model = TrainedModel.from_model(model, WordTokenizer(Vocabulary(words)), {"epochs": 0})
    engine, watch = Engine(settings.slots, settings.max_waiting), Watch()
    engine.use(ServedModel("minigpt", "1", "", trained_model, settings.slots))
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listening.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(make_app(settings, engine, watch), log_level="warning"))
    server.run([listening])


def end_with_standard_input() -> None:
    """Wait until whoever has started this process is no more."""
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    main(json.loads(sys.argv[1]))
