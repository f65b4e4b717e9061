"""The fuzzer's targets take their seeds, what was found with them, and what hypothesis makes of them."""

import subprocess
import sys
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import PROJECT
from tests.hostile.fuzz.__main__ import TARGETS, describe, load
from tests.hostile.fuzz.target import UnexplainedError

POST = b"POST /v1/generate\nhost: localhost\ncontent-type: application/json\n\n"

FOUND = {
    "archive": [
        b"\x05" + b'{"text": 1e999}\n{"text": ' + b"9" * 5000 + b"}\n",
        b"\x05" + b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
        b"\x05" + b'{"text": "\\ud800"}\n',
        b"\x0c" + b'{"text": ["a"], "movie_id": {}}\n',
        b"\x03" + b"text\n\x00\n\"\x00",
        b"\x0b" + b"text,movie_id\n\x1b[31m,\r\n",
    ],
    "parameters": [b"params\n---\na=&x]", b"params\n---\na=1e999,b=" + b"[" * 3000, b"training\n---\n{1: 2}"],
    "requests": [
        b"POST ?v1/gener\xff\nhost: localhost\n\n",
        b"GET /v1/model/?\xff\nhost: [\n\n",
        b"GET /v1/model?\xb2\nhost: localhost\n\n",
        b"GET /health\nhost: localhost\norigin: http://[\n\n",
        POST + b"[" * 50_000,
        POST + b'{"prompt": "the", "\\ud800": 1}',
        POST + b'{"prompt": "the \\udfff", "stream": true}',
        POST + b'{"prompt": "the", "seed": ' + b"9" * 5000 + b"}",
        POST + b'{"prompt": "the", "temperature": NaN}',
    ],
    "checkpoint": [b"\x04[1]", b"\x04" + b"[" * 100_000, b'\x05{"minigpt_format_version": 4, "cycle": 1}'],
    "standardization": [b"a." * 2000, b'", ' * 1000, b"\xf0\x9f\x98\x80\xcc\x81" * 500],
}  # fmt: skip
"""Inputs that something unexplained was found with, as the fuzzer keeps them."""


@cache
def prepare(name: str) -> tuple[list[bytes], Callable[[bytes], None]]:
    target = load(name)
    return [*target.make_seeds()], target.prepare()


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow) for name in TARGETS])
def target(request: pytest.FixtureRequest) -> tuple[str, list[bytes], Callable[[bytes], None]]:
    return request.param, *prepare(request.param)


def test_seeds_and_what_was_found_are_taken_or_refused(
    target: tuple[str, list[bytes], Callable[[bytes], None]],
) -> None:
    name, seeds, take = target

    for content in [b"", *seeds, *FOUND[name]]:
        take(content)


@st.composite
def changed(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Draw a seed of which some bytes are others, more or fewer; or any bytes behind its first one."""
    content = bytearray(draw(st.sampled_from(seeds)))
    if draw(st.integers(0, 9)) == 0:
        return bytes(content[:1]) + draw(st.binary(max_size=300))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(1, len(content)))
        content[place : place + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    return bytes(content)


def try_changed(name: str, num_examples: int) -> None:
    seeds, take = prepare(name)

    @settings(
        max_examples=num_examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=[*HealthCheck],
        database=None,
    )
    @given(changed(seeds))
    def try_one(content: bytes) -> None:
        take(content)

    try_one()


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_changed_seeds_are_taken_or_refused(name: str) -> None:
    try_changed(name, 100)


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", TARGETS)
def test_many_changed_seeds_are_taken_or_refused(name: str) -> None:
    try_changed(name, 10_000)


def test_a_target_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    from minigpt_pipeline.parameters import TrainingParameters

    _, take = prepare("parameters")
    monkeypatch.setattr(
        TrainingParameters, "model_validate", classmethod(lambda cls, value: {}[value["seed"]])
    )

    with pytest.raises(KeyError):
        take(b'training\n---\n{"seed": 1}')
    assert issubclass(UnexplainedError, AssertionError)


@pytest.mark.full
def test_the_fuzzer_says_what_it_has_done() -> None:
    command = [sys.executable, "-m", "tests.hostile.fuzz", "parameters", "--seconds", "3"]

    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("parameters: ")
    assert "peak memory 0 MB" not in ended.stdout


def test_figures_are_read_from_what_libfuzzer_says() -> None:
    log = (
        "#21 INITED cov: 90 ft: 92\n#32 NEW cov: 1091 ft: 98\nstat::number_of_executed_units: 12345\n"
        "stat::average_exec_per_sec:     678\nstat::peak_rss_mb:              142\n"
    )

    assert describe("requests", log, 18.2) == (
        "requests: 12,345 executions in 18 s, 678 a second, coverage 1,091 (at first 90), peak memory 142 MB"
    )
