"""A real server on loopback, and clients that send garbage, nothing, or what never ends: others are answered."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from minigpt_pipeline.serving.protocol import MAX_HEAD_SIZE, make_protocol
from tests.hostile.fuzz.requests import make_application

pytestmark = pytest.mark.slow
SECONDS_TO_ASK = 1.0
PATIENCE = 30.0


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    application, _ = make_application(max_seconds_to_ask=SECONDS_TO_ASK)
    config = uvicorn.Config(
        application, port=0, log_level="critical", http=make_protocol(SECONDS_TO_ASK), lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def wait_for_end(client: socket.socket) -> bytes:
    """Return what a server has answered until it ended the connection."""
    received = b""
    try:
        while piece := client.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def ask(port: int) -> httpx.Response:
    body = {"prompt": "the best scene", "max_new_tokens": 2}
    return httpx.post(f"http://127.0.0.1:{port}/v1/generate", json=body, timeout=PATIENCE)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\xff" * 100 + b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"POST /v1/generate HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/generate HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /v1/generate HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/generate HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /%ff%00%0d%0a?%ff HTTP/1.1\r\nHost: [\r\n\r\n",
    ],
)
def test_garbage_is_refused_and_the_server_goes_on(garbage: bytes, port: int) -> None:
    with connect(port) as client:
        client.sendall(garbage)
        answered = wait_for_end(client)

    assert not answered.startswith(b"HTTP/1.1 5")
    assert ask(port).status_code == 200


@pytest.mark.parametrize("beginning", [b"", b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-"])
def test_a_request_that_does_not_come_is_not_waited_for(beginning: bytes, port: int) -> None:
    started = time.monotonic()
    with connect(port) as client:
        client.sendall(beginning)
        assert wait_for_end(client) == b""

    assert time.monotonic() - started < PATIENCE


def test_a_head_that_never_ends_is_cut_off(port: int) -> None:
    with connect(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        with pytest.raises(OSError, match=r"(?i)reset|broken pipe"):
            client.sendall(b"a" * 200 * MAX_HEAD_SIZE)

    assert ask(port).status_code == 200


def test_a_head_that_comes_letter_by_letter_is_cut_off(port: int) -> None:
    with connect(port) as client:
        client.settimeout(0.05)
        deadline, is_open = time.monotonic() + PATIENCE, True
        while is_open:
            assert time.monotonic() < deadline
            try:
                client.sendall(b"a")
                is_open = client.recv(1) != b""
            except TimeoutError:
                continue
            except OSError:
                is_open = False


def test_a_body_that_does_not_come_is_not_waited_for(port: int) -> None:
    with connect(port) as client:
        client.sendall(b"POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        answered = wait_for_end(client)

    assert answered.startswith(b"HTTP/1.1 408 ")
    assert b"too_slow" in answered


def test_a_body_that_never_ends_is_refused(port: int) -> None:
    with connect(port) as client:
        client.sendall(b"POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk, answered = b"10000\r\n" + b"[" * 65536 + b"\r\n", b""
        try:
            for _ in range(200):
                client.sendall(chunk)
        except OSError:
            pass
        else:
            answered = wait_for_end(client)

    assert b" 200 " not in answered
    assert ask(port).status_code == 200


def test_others_are_answered_beside_many_who_say_nothing(port: int) -> None:
    silent = [connect(port) for _ in range(300)]
    try:
        for number, client in enumerate(silent):
            client.sendall(b"POST /v1/generate HTTP/1.1\r\nHost: localhost\r\n"[: number % 40])
        assert ask(port).status_code == 200
        for client in silent:
            assert wait_for_end(client) == b""
    finally:
        for client in silent:
            client.close()


def test_one_connection_asks_several_times(port: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        for _ in range(3):
            assert client.get("/health").status_code == 200
            time.sleep(0.4 * SECONDS_TO_ASK)


def test_the_server_s_process_has_the_protocol() -> None:
    source = Path("src/minigpt_pipeline/serving/__main__.py")
    text = (Path(__file__).parents[2] / source).read_text(encoding="utf-8")

    assert "http=make_protocol(settings.max_seconds_to_ask)" in text
