"""The workers of a training meet before TensorFlow connects them: it would wait for ever, and not say for whom.

They meet at the chief's address, where TensorFlow listens afterwards. Each of the others sends a line of JSON that says
who it is, and gets one back when all are there, or when it is clear that they never will be.
"""

import json
import logging
import socket
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from minigpt_pipeline.model.cluster import Cluster

logger = logging.getLogger(__name__)

GREETING = "minigpt workers 1"
PAUSE = 0.2
"""Seconds between two attempts."""
PATIENCE = 5.0
"""Seconds for a line of somebody who is connected."""
LONGEST_LINE = 1 << 16
START_AGAIN = "then start all workers again"


class WorkerError(RuntimeError):
    """A worker has not come, is lost, or differs from the chief."""


def meet(cluster: Cluster, num_devices: int, seconds: float) -> None:
    """Wait until all workers are there.

    Args:
        cluster: As this process sees it.
        num_devices: Of this process; all workers have equally many.
        seconds: How long to wait at most.

    Raises:
        WorkerError: If some are not there in time, or have another cluster or other devices than the chief: on each
            worker that is there.
    """
    about = {"greeting": GREETING, "devices": num_devices} | asdict(cluster)
    if cluster.is_chief:
        _receive_others(cluster, about, seconds)
    else:
        _join_chief(cluster, about, seconds)


def _receive_others(cluster: Cluster, about: dict[str, Any], seconds: float) -> None:
    others: dict[int, socket.socket] = {}
    answer = "The chief was stopped"
    try:
        with _listen(cluster) as listener:
            _wait_for_all(cluster, about, seconds, listener, others)
        answer = ""
    except WorkerError as error:
        answer = str(error)
        raise
    finally:
        for connection in others.values():
            _dismiss(connection, answer)


def _listen(cluster: Cluster) -> socket.socket:
    port = int(cluster.addresses[0].rpartition(":")[2])
    try:
        listener = socket.create_server(("", port))
    except OSError as error:
        raise WorkerError(
            f"The chief can't listen on port {port} of TF_CONFIG ({error}): end what listens there, or take another "
            "port in the TF_CONFIG of all workers"
        ) from error
    listener.settimeout(PAUSE)
    logger.info("The chief waits on port %d for the other workers: %d", port, len(cluster.addresses) - 1)
    return listener


def _wait_for_all(
    cluster: Cluster,
    about: dict[str, Any],
    seconds: float,
    listener: socket.socket,
    others: dict[int, socket.socket],
) -> None:
    deadline = time.monotonic() + seconds
    while missing := _find_missing(cluster, others):
        if time.monotonic() > deadline:
            raise WorkerError(
                f"{', '.join(map(cluster.describe, missing))} did not come up within {seconds:g} seconds: see what it "
                "says and whether it reaches the chief, or raise worker_start_seconds in conf/*/catalog_compute.yml; "
                + START_AGAIN
            )
        with suppress(TimeoutError):
            connection, _ = listener.accept()
            if (other := _read_line(connection, PATIENCE)) is None or other.get("greeting") != GREETING:
                connection.close()  # somebody who is no worker
                continue
            index = other["index"]
            others[index] = connection
            for name in ("addresses", "devices"):
                if other[name] != json.loads(json.dumps(about[name])):
                    raise WorkerError(
                        f"Worker {index} has {name} {other[name]}, and the chief {about[name]}: give all workers the "
                        f"same cluster in TF_CONFIG and equally many devices, {START_AGAIN}"
                    )


def _find_missing(cluster: Cluster, others: dict[int, socket.socket]) -> list[int]:
    """Return who is not there, and forget who has gone while it waited."""
    for index in [index for index, connection in others.items() if _has_gone(connection)]:
        others.pop(index).close()
    return [index for index in range(1, len(cluster.addresses)) if index not in others]


def _has_gone(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _dismiss(connection: socket.socket, answer: str) -> None:
    """Answer, and let the other close first: who closes first keeps the port for a while."""
    with connection, suppress(OSError):
        connection.settimeout(PATIENCE)
        connection.sendall(json.dumps({"greeting": GREETING, "error": answer}).encode() + b"\n")
        connection.recv(1)


def _join_chief(cluster: Cluster, about: dict[str, Any], seconds: float) -> None:
    host, _, port = cluster.addresses[0].rpartition(":")
    deadline = time.monotonic() + seconds
    reason: object = ""
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE) as connection:
                connection.sendall(json.dumps(about).encode() + b"\n")
                answer = _read_line(connection, seconds + PATIENCE)  # which has begun to wait later, perhaps
        except OSError as error:
            reason = error
        else:
            if answer is not None and answer.get("greeting") == GREETING:
                if answer["error"]:
                    raise WorkerError(answer["error"])
                return
            reason = "it did not answer like a chief"
        time.sleep(PAUSE)
    raise WorkerError(
        f"{cluster.describe(0)} did not come up within {seconds:g} seconds ({reason}): see what it says and whether it "
        f"can be reached, or raise worker_start_seconds in conf/*/catalog_compute.yml; {START_AGAIN}"
    )


def _read_line(connection: socket.socket, seconds: float) -> dict[str, Any] | None:
    """Read what the other says; null where it is no line of JSON, or comes too late."""
    connection.settimeout(seconds)
    try:
        with connection.makefile("rb") as file:
            content = json.loads(file.readline(LONGEST_LINE))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
