import itertools
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from minigpt_pipeline.model.generation import Text, generate_texts
from minigpt_pipeline.model.slots import Slots
from minigpt_pipeline.parameters import SamplingParameters
from minigpt_pipeline.serving.app import make_app
from minigpt_pipeline.serving.engine import Engine, Job
from minigpt_pipeline.serving.served_model import ServedModel
from minigpt_pipeline.serving.watch import Watch
from tests.serving.conftest import RunningServer
from tests.serving.events import read_events

RunServer = Callable[..., Any]


def write_offline(
    model: ServedModel, prompts: Sequence[str], seeds: Sequence[int], **settings: Any
) -> list[Text]:
    """The texts as `generation` writes them."""
    defaults = {"temperature": 1.0, "top_k": None, "top_p": 0.95, "max_new_tokens": 40, "stop_token": None}
    sampling = SamplingParameters(**defaults | settings)
    return generate_texts(model.writer, model.tokenizer, prompts, sampling, seeds)


def test_an_answer_is_what_the_pipeline_writes(server: RunningServer, first: ServedModel) -> None:
    answer = server.ask("the best scene", max_new_tokens=9, top_k=5, top_p=None, seed=3).json()

    (expected,) = write_offline(first, ["the best scene"], [3], max_new_tokens=9, top_k=5, top_p=None)
    (text,) = answer["texts"]
    assert (answer["model"], answer["model_version"]) == ("minigpt", "1")
    assert len(answer["id"]) == 32
    assert (text["text"], text["readable_text"]) == (expected.text, expected.readable_text)
    assert text | {"text": 0, "readable_text": 0} == {
        "index": 0,
        "prompt": "the best scene",
        "text": 0,
        "readable_text": 0,
        "prompt_tokens": 3,
        "new_tokens": 9,
        "seed": 3,
        "finish_reason": "length",
    }
    assert answer["parameters"] == {
        "temperature": 1.0,
        "top_k": 5,
        "top_p": None,
        "min_p": None,
        "repetition_penalty": None,
        "no_repeat_ngram_size": None,
        "max_new_tokens": 9,
        "stop_at_end_of_review": False,
    }


def test_what_is_left_out_is_as_the_settings_say(server: RunningServer, first: ServedModel) -> None:
    told = server.client.get("/v1/model").json()
    answer = server.ask().json()

    assert answer["parameters"] | {"seed": 42} == told["defaults"]
    assert answer["texts"][0]["text"] == write_offline(first, ["the best scene"], [42])[0].text
    assert told["limits"] == {"max_prompts": 16, "max_prompt_characters": 4000, "max_new_tokens": 600}
    assert (told["model_version"], told["vocabulary_size"], told["context"]) == ("1", 24, 24)
    assert set(told["presets"]) == {"default", "careful", "free"}


@pytest.mark.parametrize(
    ("prompt", "seed", "pairs"),
    [
        (["the film", "a plot"], 5, [("the film", 5), ("a plot", 5)]),
        ("the film", [5, 6], [("the film", 5), ("the film", 6)]),
        (["the film", "a plot"], [5, 6], [("the film", 5), ("a plot", 6)]),
        (["the film"], [5], [("the film", 5)]),
    ],
)
def test_a_request_has_several_texts(
    server: RunningServer, first: ServedModel, prompt: Any, seed: Any, pairs: list[tuple[str, int]]
) -> None:
    texts = server.ask(prompt, seed=seed, max_new_tokens=6).json()["texts"]

    expected = write_offline(first, [one for one, _ in pairs], [one for _, one in pairs], max_new_tokens=6)
    assert [text["index"] for text in texts] == list(range(len(pairs)))
    assert [(text["text"], text["seed"]) for text in texts] == [
        (text.text, one) for text, (_, one) in zip(expected, pairs, strict=True)
    ]


def test_a_stream_has_the_text_piece_by_piece(server: RunningServer, first: ServedModel) -> None:
    fields = {"prompt": ["the best scene", "i saw"], "seed": 4, "max_new_tokens": 30, "stream": True}
    with server.client.stream("POST", "/v1/generate", json=fields) as response:
        events = list(read_events(response))

    assert response.headers["content-type"].startswith("text/event-stream")
    names = [name for name, _ in events]
    assert (names[0], names[-1], set(names[1:-1])) == ("start", "done", {"token"})
    assert events[0][1]["model_version"] == "1"
    expected = write_offline(first, fields["prompt"], [4, 4], max_new_tokens=30)
    for index, text in enumerate(expected):
        pieces = [data for name, data in events if name == "token" and data["index"] == index]
        assert len(pieces) > 1
        assert fields["prompt"][index] + "".join(piece["text"] for piece in pieces) == text.text
        assert pieces[-1]["readable_text"] == text.readable_text
        assert len(pieces[0]["readable_text"]) < len(text.readable_text)
    assert [text["text"] for text in events[-1][1]["texts"]] == [text.text for text in expected]


def test_a_text_ends_where_the_model_ends_it(server: RunningServer, first: ServedModel) -> None:
    answer = server.ask(
        seed=list(range(16)), max_new_tokens=60, stop_at_end_of_review=True, top_p=None
    ).json()

    lengths = [text["new_tokens"] for text in answer["texts"]]
    reasons = [text["finish_reason"] for text in answer["texts"]]
    assert min(lengths) < 60
    assert all((reason == "end") == (length < 60) for reason, length in zip(reasons, lengths, strict=True))
    assert "end" in reasons


@pytest.mark.parametrize(
    ("fields", "status", "code", "message"),
    [
        ({"prompt": ""}, 400, "unknown_words", "The prompt '' has no word in it"),
        ({"prompt": "zebra"}, 400, "unknown_words", "no word of the prompt 'zebra'"),
        (
            {"prompt": "the", "temperature": -1},
            422,
            "invalid_request",
            "temperature: Input should be greater",
        ),
        (
            {"prompt": "the", "top_p": 1.5},
            422,
            "invalid_request",
            "top_p: Input should be less than or equal to 1",
        ),
        ({"prompt": "the", "top_k": 2**40}, 422, "invalid_request", "top_k: "),
        ({"prompt": "the", "seed": -1}, 422, "invalid_request", "seed: "),
        ({"prompt": "the", "seed": 2**70}, 422, "invalid_request", "seed: "),
        ({"prompt": "the", "heat": 1}, 422, "invalid_request", "heat: Extra inputs"),
        ({"prompt": []}, 422, "invalid_request", "prompt: List should have at least 1 item"),
        ({"prompt": ["the", 3]}, 422, "invalid_request", "prompt.1: Input should be a valid string"),
        ({}, 422, "invalid_request", "prompt: Field required"),
        ({"prompt": ["a", "a"], "seed": [1, 2, 3]}, 422, "invalid_request", "2 prompts and 3 seeds"),
        ({"prompt": "a " * 2001}, 413, "prompt_too_long", "4002 characters, and 4000 is the most"),
        ({"prompt": ["a"] * 17}, 413, "too_many_prompts", "17 texts are asked for, and 16 is the most"),
        ({"prompt": "a", "max_new_tokens": 601}, 413, "too_many_tokens", "max_new_tokens=601, and 600"),
        ({"prompt": "x" * 10**6}, 413, "too_large", "more than 833536 bytes"),
    ],
)
def test_what_cannot_be_answered_is_said(
    server: RunningServer, fields: dict[str, Any], status: int, code: str, message: str
) -> None:
    response = server.client.post("/v1/generate", json=fields)

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert message in error["message"]
    assert server.figure(f'minigpt_requests_total{{code="{code}",status="{status}"}}') == 1
    assert server.ask(max_new_tokens=1).status_code == 200


@pytest.mark.parametrize(
    "content", [b"no json", b"\xff\xfe", b"", b"[]", b'"the"', b"null", b'{"prompt": NaN}']
)
def test_a_body_that_is_no_request_is_said(server: RunningServer, content: bytes) -> None:
    response = server.client.post(
        "/v1/generate", content=content, headers={"content-type": "application/json"}
    )

    assert response.status_code == 422
    assert response.json()["error"]["code"] == "invalid_request"


def test_a_body_without_a_length_is_not_read_for_ever(server: RunningServer) -> None:
    response = server.client.post("/v1/generate", content=itertools.repeat(b"x" * 65536, 100))

    assert response.status_code == 413


def test_other_addresses_and_methods_are_said(server: RunningServer) -> None:
    assert server.client.get("/nothing").json()["error"]["message"] == "GET /nothing: Not Found"
    refused = server.client.get("/v1/generate")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def test_a_server_without_a_model_lives_and_is_not_ready(run_server: RunServer) -> None:
    with run_server(None) as server:
        assert server.client.get("/health").status_code == 200
        assert server.client.get("/ready").json()["error"]["code"] == "no_model"
        for response in (server.ask(), server.client.get("/v1/model")):
            assert (response.status_code, response.json()["error"]["code"]) == (503, "no_model")
        assert (
            server.figure('minigpt_requests_total{code="no_model",status="503"}') == 2
        )  # probes don't count


def test_who_comes_when_all_is_full_is_told_to_come_back(run_server: RunServer, first: ServedModel) -> None:
    with run_server(first, slots=2, max_waiting=1, max_prompts=3) as server, ThreadPoolExecutor() as pool:
        long = pool.submit(server.ask, seed=[1, 2], max_new_tokens=600)
        server.wait_until(lambda: server.engine.num_busy == 2)

        refused = server.ask(seed=[3, 4], max_new_tokens=1)
        waited = server.ask(seed=5, max_new_tokens=1)

        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["error"]["code"] == "overloaded"
        assert waited.status_code == long.result().status_code == 200
        assert server.ask(seed=[3, 4], max_new_tokens=1).status_code == 200


def test_a_client_that_goes_away_leaves_its_slots(server: RunningServer, tmp_path: Path) -> None:
    for stream in (True, False):
        with httpx.Client(base_url=server.address) as leaving:
            fields = {"prompt": "the", "seed": [1, 2, 3], "max_new_tokens": 600, "stream": stream}
            if stream:
                with leaving.stream("POST", "/v1/generate", json=fields) as response:
                    next(read_events(response))
            else:
                with pytest.raises(httpx.ReadTimeout):
                    leaving.post("/v1/generate", json=fields, timeout=0.05)
        server.wait_until(lambda: server.engine.num_busy == server.engine.num_waiting == 0)
    server.wait_until(lambda: server.figure('minigpt_texts_total{finish_reason="cancelled"}') == 6)
    assert server.ask(max_new_tokens=2).status_code == 200


def test_many_clients_with_settings_of_their_own_get_the_texts_of_their_seeds(
    server: RunningServer, first: ServedModel
) -> None:
    rng = np.random.default_rng(1)
    requests = [
        {
            "prompt": ["the best scene", "i saw", "a film of this plot is"][seed % 3],
            "seed": seed,
            "max_new_tokens": int(rng.integers(1, 60)),
            "temperature": float(rng.choice([0.0, 0.7, 1.3])),
            "top_k": [None, 3][seed % 2],
            "top_p": [None, 0.8, 0.95][seed % 3],
            "repetition_penalty": [None, 1.5][seed % 5 == 0],
            "no_repeat_ngram_size": [None, 2][seed % 7 == 0],
            "stop_at_end_of_review": bool(seed % 4 == 0),
        }
        for seed in range(60)
    ]
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda fields: server.ask(**fields).json()["texts"][0]["text"], requests))

    for fields, answer in zip(requests, answers, strict=True):
        prompt, seed = fields.pop("prompt"), fields.pop("seed")
        assert answer == write_offline(first, [prompt], [seed], **fields)[0].text


def test_a_new_version_takes_over_between_two_requests(
    server: RunningServer, first: ServedModel, second: ServedModel
) -> None:
    """Texts that the first has begun are ended by it, while the second begins others; nothing fails."""
    answers: list[dict[str, Any]] = []
    over = threading.Event()

    def ask_again_and_again(client: int) -> None:
        for number in itertools.count():
            if over.is_set():
                return
            response = server.ask(seed=1000 * client + number, max_new_tokens=50)
            assert response.status_code == 200
            answers.append(response.json())

    with ThreadPoolExecutor(6) as pool:
        clients = [pool.submit(ask_again_and_again, client) for client in range(6)]
        for model in (second, first, second):
            seen = len(answers)
            server.wait_until(lambda seen=seen: len(answers) > seen + 30)
            server.engine.use(model)
        seen = len(answers)
        server.wait_until(lambda: len(answers) > seen + 30)
        over.set()
        for client in clients:
            client.result()

    assert {answer["model_version"] for answer in answers} == {"1", "2"}
    texts = [answer["texts"][0] for answer in answers]
    prompts, seeds = [text["prompt"] for text in texts], [text["seed"] for text in texts]
    offline = {
        model.version: [text.text for text in write_offline(model, prompts, seeds, max_new_tokens=50)]
        for model in (first, second)
    }
    assert offline["1"] != offline["2"]
    for number, answer in enumerate(answers):
        assert texts[number]["text"] == offline[answer["model_version"]][number]


def test_a_server_that_is_stopped_ends_what_it_has_begun(run_server: RunServer, first: ServedModel) -> None:
    with run_server(first, slots=2) as server, ThreadPoolExecutor() as pool:
        begun = pool.submit(server.ask, seed=1, max_new_tokens=600)
        server.wait_until(lambda: server.engine.num_busy == 1)

        server.engine.refuse()

        refused = server.ask()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "stopping")
        assert server.client.get("/ready").status_code == 503
        assert begun.result().json()["texts"][0]["new_tokens"] == 600


def test_a_text_that_takes_too_long_for_a_stop_is_told_so(run_server: RunServer, first: ServedModel) -> None:
    fields = {"prompt": "the", "seed": [1, 2, 3], "max_new_tokens": 600, "stream": True}
    with (
        run_server(first, slots=2) as server,
        server.client.stream("POST", "/v1/generate", json=fields) as response,
    ):
        events = read_events(response)
        assert next(events)[0] == "start"
        threading.Thread(target=server.engine.end).start()

        name, data = list(events)[-1]

        assert (name, data["error"]["code"]) == ("error", "stopping")
        samples = [line for line in server.watch.render()[0].decode().splitlines() if "_created" not in line]
        counts = [line for line in samples if line.startswith("minigpt_requests_total{")]
        assert counts == ['minigpt_requests_total{code="stopping",status="503"} 1.0']


@pytest.mark.parametrize("step", ["add", "advance"])
def test_a_loop_that_fails_costs_its_texts_and_no_more(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    plain = getattr(Slots, step)

    def fail(*_: Any, **__: Any) -> Any:
        monkeypatch.setattr(Slots, step, plain)
        raise MemoryError("no room")

    monkeypatch.setattr(Slots, step, fail)

    failed = server.ask(seed=[1, 2])

    assert (failed.status_code, failed.json()["error"]["code"]) == (500, "failed")
    assert server.engine.num_busy == 0
    assert server.ask(seed=[1, 2]).status_code == 200


def test_who_waits_no_more_takes_nobody_s_place(run_server: RunServer, first: ServedModel) -> None:
    with run_server(first, slots=1, max_waiting=2, max_prompts=3) as server, ThreadPoolExecutor() as pool:
        long = pool.submit(server.ask, max_new_tokens=600)
        server.wait_until(lambda: server.engine.num_busy == 1)
        with httpx.Client(base_url=server.address) as leaving, pytest.raises(httpx.ReadTimeout):
            leaving.post("/v1/generate", json={"prompt": "the", "seed": [1, 2]}, timeout=0.02)

        server.wait_until(lambda: server.engine.num_waiting == 0)

        assert server.engine.num_busy == 1
        assert server.ask(seed=[3, 4], max_new_tokens=1).status_code == 200
        assert long.result().status_code == 200


def test_the_engine_waits_in_order_and_passes_over_who_has_gone(first: ServedModel) -> None:
    import asyncio

    async def take() -> list[int]:
        engine = Engine(1, 10)
        news: asyncio.Queue[Any] = asyncio.Queue()
        jobs = [Job(index, first.begin([2], SAMPLING, index), news) for index in range(4)]
        engine.take(first, jobs)
        engine.cancel([jobs[1]])
        engine.start(asyncio.get_running_loop())
        order = []
        while len(order) < 3:
            progress = await news.get()
            order += [progress.job.index] if progress.has_ended else []
        await asyncio.to_thread(engine.end)
        return order

    assert asyncio.run(take()) == [0, 2, 3]


def test_the_interface_is_described(base_settings: Any) -> None:
    described = make_app(base_settings, Engine(1, 1), Watch()).openapi()

    assert set(described["paths"]) >= {"/v1/generate", "/v1/model", "/health", "/ready", "/metrics"}
    request = described["components"]["schemas"]["GenerateRequest"]["properties"]
    assert request["temperature"]["maximum"] == 100
    assert not any("default" in field for name, field in request.items() if name != "stream")
    assert set(described["paths"]["/v1/generate"]["post"]["responses"]) >= {
        "200",
        "400",
        "413",
        "422",
        "429",
        "503",
    }
    json.dumps(described)


SAMPLING = SamplingParameters(temperature=1.0, top_k=None, top_p=None, max_new_tokens=5, stop_token=None)
