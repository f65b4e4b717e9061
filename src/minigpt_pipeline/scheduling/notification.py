"""Tells people what they would not see otherwise: a run that failed, ticks that were missed."""

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from minigpt_pipeline.scheduling.schedule_settings import NotificationSettings

WEBHOOK_VARIABLE = "MINIGPT_WEBHOOK"
"""The environment has the address: those of webhooks are secrets."""
PAUSE = 1.0
"""Half of the seconds before the third attempt; the second comes at once, and each further pause is twice as long."""


@dataclass(frozen=True)
class Message:
    """What happened.

    Args:
        event: `run_failed` or `ticks_missed`.
        text: For people; chats show it.
        schedule: Which.
        pipeline: That it runs.
        environment: Of the configuration.
        run_id: Dagster's, where there was a run.
        cycle: In MLflow, where there was a run.
    """

    event: str
    text: str
    schedule: str
    pipeline: str
    environment: str
    run_id: str = ""
    cycle: str = ""


def notify(message: Message, settings: NotificationSettings, complain: Callable[[str], object]) -> None:
    """Send a message to the command and the webhook that are configured. Nothing is raised.

    Args:
        message: What happened.
        settings: The command, and how long to try.
        complain: Told of each that could not be reached.
    """
    webhook = os.environ.get(WEBHOOK_VARIABLE)
    if settings.command:
        try:
            _call(settings.command, message, settings.timeout)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or b""
            reason = f"{error} {said.decode(errors='replace').strip()}".strip()
            complain(f"{message.event} was not told to the command `{settings.command}`: {reason}")
    if webhook:
        import requests

        try:
            _post(webhook, asdict(message), settings)
        except requests.RequestException as error:
            # The address is a secret, and stands in most of these errors.
            reason = (
                type(error).__name__ if error.response is None else f"status {error.response.status_code}"
            )
            complain(f"{message.event} was not told to the webhook in {WEBHOOK_VARIABLE}: {reason}")


def _call(command: str, message: Message, timeout: float) -> None:
    variables = {f"MINIGPT_EVENT_{name.upper()}": value for name, value in asdict(message).items()}
    subprocess.run(
        shlex.split(command),
        input=f"{json.dumps(asdict(message), ensure_ascii=False)}\n".encode(),
        env={**os.environ, **variables},
        capture_output=True,
        check=True,
        timeout=timeout,
    )


def _post(webhook: str, content: Mapping[str, str], settings: NotificationSettings) -> None:
    import requests
    from requests.adapters import HTTPAdapter, Retry

    attempts = Retry(
        settings.attempts - 1,
        backoff_factor=PAUSE,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,
        raise_on_status=False,
    )
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=attempts))
        session.mount("https://", HTTPAdapter(max_retries=attempts))
        session.post(webhook, json=content, timeout=settings.timeout).raise_for_status()
