"""A version of the registered model in a fresh process: `python -P try_out.py FOLDER PROMPTS`.

The process knows nothing of this checkout: the model brings its own code along, as for whoever serves it. Whoever calls
this has seen that it is the project's (`own_code.py`). PROMPTS is a JSON list; the last line of the output is a JSON
object with `seconds_per_text`.
"""

import json
import sys
import time

import mlflow
import pandas as pd


def main(folder: str, prompts: list[str]) -> None:
    """Load a version, write a text for each prompt, and tell how long one takes.

    Raises:
        RuntimeError: If a text does not go on behind its prompt.
    """
    model = mlflow.pyfunc.load_model(folder)
    model.predict(
        pd.DataFrame({"prompt": prompts[:1]})
    )  # the first text takes longer: functions are compiled
    started = time.perf_counter()
    texts = model.predict(pd.DataFrame({"prompt": prompts}))["text"]
    seconds = time.perf_counter() - started
    for prompt, text in zip(prompts, texts, strict=True):
        if not text.startswith(prompt) or text == prompt:
            raise RuntimeError(f"it writes nothing behind the prompt {prompt!r}, but returns {text!r}")
    sys.stdout.write("\n" + json.dumps({"seconds_per_text": seconds / len(prompts)}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
