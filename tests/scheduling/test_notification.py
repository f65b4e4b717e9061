"""Messages reach a real command and a real server, and what does not is complained of and no more."""

import json
import shlex
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from minigpt_pipeline.scheduling import notification
from minigpt_pipeline.scheduling.notification import WEBHOOK_VARIABLE, Message, notify
from tests.scheduling.conftest import make_settings

MESSAGE = Message("run_failed", "nightly failed: «Ä»", "nightly", "data", "test", "1a", "2b")


class Webhook(HTTPServer):
    """Remembers what it was sent; answers with the statuses that it is given, then with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[dict[str, Any]] = []
        self.statuses: list[int] = []
        self.address = f"http://127.0.0.1:{self.server_port}/secret"


class Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        self.server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    monkeypatch.setattr(notification, "PAUSE", 0.001)
    with Webhook() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(WEBHOOK_VARIABLE, server.address)
        yield server
        server.shutdown()


def send(command: str | None = None, **settings: Any) -> list[str]:
    """Send the message and return the complaints."""
    complaints: list[str] = []
    notify(MESSAGE, make_settings({"command": command, **settings}).notification, complaints.append)
    return complaints


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def test_a_command_gets_the_message_as_json_and_as_variables(tmp_path: Path) -> None:
    told = tmp_path / "told"
    code = (
        f"import os, sys; open({str(told)!r}, 'w').write(sys.stdin.read() + os.environ['MINIGPT_EVENT_TEXT'])"
    )

    assert send(python(code)) == []

    first, second = told.read_text().splitlines()
    assert json.loads(first) == {
        "event": "run_failed", "text": "nightly failed: «Ä»", "schedule": "nightly", "pipeline": "data",
        "environment": "test", "run_id": "1a", "cycle": "2b",
    }  # fmt: skip
    assert second == MESSAGE.text


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("there-is-no-such-command", "No such file or directory"),
        (python("import sys; sys.exit('no mail server')"), "no mail server"),
        (python("import time; time.sleep(60)"), "timed out after 0.5 seconds"),
        ("'", "No closing quotation"),
    ],
    ids=["absent", "fails", "hangs", "no command"],
)
def test_a_command_that_does_not_work_is_complained_of(command: str, reason: str) -> None:
    (complaint,) = send(command, timeout=0.5)

    assert complaint.startswith(f"run_failed was not told to the command `{command}`: ")
    assert reason in complaint


def test_a_webhook_gets_the_message_once_more_where_it_is_busy(webhook: Webhook) -> None:
    webhook.statuses = [503, 429]

    assert send() == []

    assert [message["text"] for message in webhook.received] == [MESSAGE.text] * 3


@pytest.mark.parametrize(("statuses", "count"), [([503] * 9, 3), ([404], 1)])
def test_a_webhook_that_refuses_is_complained_of_without_its_address(
    webhook: Webhook, statuses: list[int], count: int
) -> None:
    webhook.statuses = [*statuses]

    (complaint,) = send()

    assert complaint == f"run_failed was not told to the webhook in MINIGPT_WEBHOOK: status {statuses[0]}"
    assert len(webhook.received) == count


def test_a_webhook_that_is_not_there_is_complained_of_without_its_address(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEBHOOK_VARIABLE, "http://127.0.0.1:9/secret")

    assert send() == ["run_failed was not told to the webhook in MINIGPT_WEBHOOK: ConnectionError"]


def test_both_are_told_where_one_does_not_work(webhook: Webhook) -> None:
    assert len(send("there-is-no-such-command")) == 1
    assert len(webhook.received) == 1


def test_nobody_is_told_where_nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEBHOOK_VARIABLE, raising=False)

    assert send() == []
