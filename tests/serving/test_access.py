"""Who is answered, by a real server on loopback."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minigpt_pipeline.addresses import is_loopback
from minigpt_pipeline.serving.access import MIN_LENGTH, SECURITY_HEADERS, Keys, read_keys
from minigpt_pipeline.serving.settings import ServingError, ServingSettings
from tests.serving.conftest import RunningServer

KEY, NEXT_KEY = "kept-by-one-who-asks-0", "kept-by-one-who-asks-1"
PROMPT = {"prompt": "the best scene"}
ADDRESSES = ["/", "/health", "/ready", "/metrics", "/v1/model", "/v1/generate", "/openapi.json", "/nothing"]


@pytest.fixture
def guarded(run_server: Callable[..., Any]) -> Iterator[RunningServer]:
    """A server with two keys, without a model: who is let in reads 503."""
    with run_server(None, Keys(KEY, NEXT_KEY)) as running:
        yield running


@pytest.fixture
def alone(run_server: Callable[..., Any]) -> Iterator[RunningServer]:
    """A server without keys, for this machine alone."""
    with run_server(None) as running:
        yield running


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_without_a_key_nothing_but_the_page_and_signs_of_life_is_told(guarded: RunningServer) -> None:
    statuses = {address: guarded.client.get(address).status_code for address in ADDRESSES}

    assert {address for address, status in statuses.items() if status != 401} == {"/", "/health", "/ready"}
    refused = guarded.client.post("/v1/generate", json=PROMPT)
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="minigpt"')
    assert refused.json()["error"]["code"] == "unauthorized"
    assert guarded.client.post("/", json=PROMPT).status_code == 401
    with_key = guarded.client.get("/metrics", headers=bearer(KEY)).text
    assert 'minigpt_requests_total{code="unauthorized",status="401"}' in with_key


@pytest.mark.parametrize("key", [KEY, NEXT_KEY])
def test_each_key_lets_in(guarded: RunningServer, key: str) -> None:
    assert guarded.client.post("/v1/generate", json=PROMPT, headers=bearer(key)).status_code == 503


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", f"Basic {KEY}", KEY, f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer é"],
)
def test_nothing_else_lets_in(guarded: RunningServer, header: str) -> None:
    headers = {"Authorization": header.encode("latin-1")}

    assert guarded.client.get("/v1/model", headers=headers).status_code == 401  # type: ignore[arg-type]


def test_a_body_is_not_read_of_who_has_no_key(guarded: RunningServer) -> None:
    enormous = b"x" * 20_000_000

    assert guarded.client.post("/v1/generate", content=enormous).status_code == 401
    assert guarded.client.post("/v1/generate", content=enormous, headers=bearer(KEY)).status_code == 413


def test_a_key_is_compared_as_a_digest_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(
        "hmac.compare_digest", lambda given, known: compared.append((given, known)) or given == known
    )

    assert Keys(KEY, NEXT_KEY).let_in(f"Bearer {KEY}")
    assert len(compared) == 2  # the second one, too, though the first fits
    assert all(len(given) == len(known) == 32 for given, known in compared)


@pytest.mark.parametrize(
    "host",
    ["attacker.example", "attacker.example:8000", "127.0.0.1.attacker.example", "", "[::1", "10.0.0.7"],
)
def test_a_name_that_somebody_else_owns_is_refused(alone: RunningServer, host: str) -> None:
    refused = alone.client.get("/v1/model", headers={"Host": host})

    assert (refused.status_code, refused.json()["error"]["code"]) == (421, "unknown_host")


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_own_names_are_answered(alone: RunningServer, host: str) -> None:
    assert alone.client.get("/health", headers={"Host": host}).status_code == 200


def test_a_name_of_the_settings_is_answered(run_server: Callable[..., Any]) -> None:
    with run_server(None, allowed_hosts=["texts.example"]) as running:
        assert running.client.get("/health", headers={"Host": "texts.example"}).status_code == 200


@pytest.mark.parametrize("origin", ["https://attacker.example", "null", "http://127.0.0.1:1"])
def test_a_page_elsewhere_can_neither_ask_nor_read(alone: RunningServer, origin: str) -> None:
    asked = alone.client.post("/v1/generate", json=PROMPT, headers={"Origin": origin})
    looked = alone.client.options(
        "/v1/generate", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}
    )

    assert (asked.status_code, looked.status_code) == (403, 403)
    assert not [name for name in (*asked.headers, *looked.headers) if name.startswith("access-control")]
    assert (
        alone.client.post("/v1/generate", json=PROMPT, headers={"Origin": alone.address}).status_code == 503
    )


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_what_a_form_of_another_page_can_send_is_no_request(alone: RunningServer, kind: str) -> None:
    content = b'{"prompt": "the best scene"}'

    assert (
        alone.client.post("/v1/generate", content=content, headers={"Content-Type": kind}).status_code == 422
    )


def test_every_answer_has_the_headers_that_browsers_go_by(guarded: RunningServer) -> None:
    for address in ADDRESSES:
        headers = guarded.client.get(address).headers
        assert headers.keys() >= {name.lower() for name in SECURITY_HEADERS}
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "script-src 'sha256-" in guarded.client.get("/").headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("host", "is_own"),
    [("127.0.0.1", True), ("127.8.9.10", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.7", False), ("my-laptop", False), ("localhost.attacker.example", False)],
)  # fmt: skip
def test_which_addresses_are_of_this_machine_alone(host: str, is_own: bool) -> None:
    assert is_loopback(host) == is_own


def with_host(settings: ServingSettings, host: str, **changes: Any) -> ServingSettings:
    return settings.model_copy(update={"host": host, **changes})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "my-laptop"])
def test_others_are_let_in_with_a_key_or_by_what_is_in_front(
    base_settings: ServingSettings, host: str
) -> None:
    with pytest.raises(
        ServingError, match=rf"^host={re.escape(host)} lets others .* set MINIGPT_SERVING_KEY to one"
    ):
        read_keys({}, with_host(base_settings, host))
    with pytest.raises(ServingError):
        read_keys({"MINIGPT_SERVING_KEY": " , "}, with_host(base_settings, host))
    assert read_keys({"MINIGPT_SERVING_KEY": KEY}, with_host(base_settings, host)).are_wanted
    assert not read_keys({}, with_host(base_settings, host, behind_proxy=True)).are_wanted


def test_this_machine_alone_needs_no_key_and_may_have_several(base_settings: ServingSettings) -> None:
    assert not read_keys({}, base_settings).are_wanted
    keys = read_keys({"MINIGPT_SERVING_KEY": f"{KEY}, {NEXT_KEY}"}, base_settings)
    assert [keys.let_in(f"Bearer {key}") for key in (KEY, NEXT_KEY, "")] == [True, True, False]


@pytest.mark.parametrize("key", ["k" * (MIN_LENGTH - 1), "with a blank in its middle", "é" * 30])
def test_a_poor_key_is_refused_and_not_shown(base_settings: ServingSettings, key: str) -> None:
    with pytest.raises(ServingError, match="key 2 of 2 has") as caught:
        read_keys({"MINIGPT_SERVING_KEY": f"{KEY},{key}"}, base_settings)
    assert key not in str(caught.value)
    assert KEY not in str(caught.value)
