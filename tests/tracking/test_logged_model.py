"""The logged model, used as others use it: in a fresh process, away from this checkout, and over HTTP."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from minigpt_pipeline.tracking.model_logging import SIGNATURE
from tests.servers import answers, find_port, make_mlflow_command, wait_until

pytestmark = pytest.mark.slow

LOAD_AND_PREDICT = """
import sys
sys.path = [entry for entry in sys.path if not entry.endswith("/src")]
sys.meta_path = [finder for finder in sys.meta_path if "__editable__" not in repr(finder)]
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
import minigpt_pipeline
print(minigpt_pipeline.__file__)
prompts = pd.DataFrame({"prompt": ["the film", "a plot"]})
for seed in (1, 1, 2):
    print(model.predict(prompts, params={"max_new_tokens": 5, "seed": seed})["text"].tolist())
assert "kedro" not in sys.modules
"""


@pytest.fixture
def model_uri(run_id: str, tiny_model_file: Path) -> str:
    from minigpt_pipeline.tracking.model_logging import log_model

    log_model(tiny_model_file)
    (output,) = mlflow.get_run(run_id).outputs.model_outputs
    return str(mlflow.get_logged_model(output.model_id).artifact_location).removeprefix("file://")


def test_it_holds_no_pickle_and_says_what_it_takes(model_uri: str) -> None:
    folder = Path(model_uri)
    model = mlflow.models.get_model_info(model_uri)

    assert [path.name for path in folder.rglob("*") if path.suffix in {".pkl", ".pickle", ".joblib"}] == []
    assert model.signature.inputs.input_names() == ["prompt"]
    assert model.signature.outputs.input_names() == ["text", "readable_text"]
    assert {param.name for param in model.signature.params} == {
        "max_new_tokens",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "repetition_penalty",
        "no_repeat_ngram_size",
        "stop_at_end_of_review",
        "seed",
    }


def test_its_defaults_are_those_of_base() -> None:
    conf = Path(__file__).parents[2] / "conf/base/parameters_generation.yml"
    sampling = yaml.safe_load(conf.read_text(encoding="utf-8"))["generation"]["sampling"]
    defaults = {param.name: param.default for param in SIGNATURE.params}
    off = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0}

    expected = {name: off.get(name) if value is None else value for name, value in sampling.items()}
    del expected["stop_token"]  # no parameter of the logged model
    assert defaults == expected | {"seed": 42}


def test_it_writes_texts_in_a_process_started_elsewhere(model_uri: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", LOAD_AND_PREDICT, model_uri],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    code, first, again, other = result.stdout.strip().splitlines()[-4:]
    assert code.startswith(model_uri)
    assert first == again != other
    assert first.startswith("['the film ")


@pytest.fixture
def server(model_uri: str) -> Iterator[str]:
    port = find_port()
    arguments = ("models", "serve", "--model-uri", model_uri, "--env-manager", "local")
    process = subprocess.Popen(
        make_mlflow_command(*arguments, port=port),
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(f"{url}/ping"), lambda: process.poll() is None)
        yield url
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=20)


def post(url: str, body: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{url}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_it_is_served_over_http_and_refuses_wrong_types(server: str) -> None:
    prompts = {"dataframe_records": [{"prompt": "the film miller"}]}

    status, answer = post(server, prompts | {"params": {"max_new_tokens": 3, "seed": 7}})
    assert status == 200
    assert answer["predictions"][0]["text"].startswith("the film miller ")
    assert answer["predictions"][0]["readable_text"].startswith("The film Miller")

    nucleus = {"max_new_tokens": 3, "seed": 7, "top_k": 0, "top_p": 0.5}
    assert post(server, prompts | {"params": nucleus})[0] == 200

    varied = {"min_p": 0.1, "repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "max_new_tokens": 3}
    assert post(server, prompts | {"params": varied})[0] == 200

    assert post(server, prompts | {"params": {"temperature": "warm"}})[0] == 400
    for wrong, message in (
        ({"min_p": 1.5}, "min_p"),
        ({"repetition_penalty": 0.5}, "greater than or equal to 1"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size"),
        ({"stop_at_end_of_review": True}, "has learnt where reviews end"),
    ):
        status, answer = post(server, prompts | {"params": wrong})
        assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert message in answer["message"]
    assert post(server, {"dataframe_records": [{"prompt": 5}]})[0] == 400
