"""The workers are threads here; what they say to each other goes through real sockets of this machine."""

import socket
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest

from minigpt_pipeline.local_workers import find_free_ports
from minigpt_pipeline.model import rendezvous
from minigpt_pipeline.model.cluster import Cluster
from minigpt_pipeline.model.rendezvous import WorkerError, meet


@pytest.fixture
def addresses() -> tuple[str, ...]:
    return tuple(f"127.0.0.1:{port}" for port in find_free_ports(3))


def meet_all(clusters: Sequence[Cluster], devices: Sequence[int], seconds: float = 30) -> list[str]:
    """Return what each is told; empty where all came together."""
    with ThreadPoolExecutor(len(clusters)) as threads:
        met = [
            threads.submit(meet, cluster, number, seconds)
            for cluster, number in zip(clusters, devices, strict=True)
        ]
        return [describe(each) for each in met]


def describe(met: "Future[None]") -> str:
    error = met.exception()
    assert error is None or isinstance(error, WorkerError)
    return str(error or "")


def test_all_come_together_and_leave_the_port_free(addresses: tuple[str, ...]) -> None:
    assert meet_all([Cluster(addresses, index) for index in (2, 0, 1)], [1, 1, 1]) == ["", "", ""]

    with socket.create_server(("", int(addresses[0].split(":")[1]))):
        pass


def test_who_does_not_come_is_named_to_all_who_did(addresses: tuple[str, ...]) -> None:
    told = meet_all([Cluster(addresses, index) for index in (0, 1)], [1, 1], seconds=1)

    assert told[0].startswith(
        f"worker 2 at {addresses[2]} did not come up within 1 seconds: see what it says"
    )
    assert told[1] == told[0]


def test_a_chief_who_does_not_come_is_named(addresses: tuple[str, ...]) -> None:
    with pytest.raises(
        WorkerError, match=rf"worker 0, the chief, at {addresses[0]} did not come up within 0.5 sec"
    ):
        meet(Cluster(addresses, 1), 1, 0.5)


def test_unlike_clusters_and_devices_are_told_to_all(addresses: tuple[str, ...]) -> None:
    two = addresses[:2]
    told = meet_all([Cluster(two, 0), Cluster(two, 1)], [1, 4])
    assert told[0].startswith("Worker 1 has devices 4, and the chief 1: give all workers the same cluster")
    assert told[1] == told[0]

    told = meet_all([Cluster(two, 0), Cluster(addresses, 1)], [1, 1])
    assert f"has addresses {list(addresses)}" in told[0]


def test_who_went_while_it_waited_is_waited_for_again(addresses: tuple[str, ...]) -> None:
    with ThreadPoolExecutor() as threads:
        chief = threads.submit(meet, Cluster(addresses, 0), 1, 30)
        gone = _connect(addresses[0])
        gone.sendall(
            b'{"greeting": "minigpt workers 1", "index": 1, "devices": 1, "addresses": '
            + str(list(addresses)).replace("'", '"').encode()
            + b"}\n"
        )
        gone.close()
        last = threads.submit(meet, Cluster(addresses, 2), 1, 30)
        time.sleep(0.6)  # in which the chief would take all for present
        assert not chief.done()
        assert not last.done()
        meet(Cluster(addresses, 1), 1, 30)
        assert (describe(chief), describe(last)) == ("", "")


def test_a_stranger_at_the_door_is_sent_away(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendezvous, "PATIENCE", 0.3)
    two = addresses[:2]
    with ThreadPoolExecutor() as threads:
        chief = threads.submit(meet, Cluster(two, 0), 1, 30)
        for line in (b"GET / HTTP/1.1\r\n", b'{"index": 1}\n', b""):
            with _connect(two[0]) as stranger:
                stranger.sendall(line)
                stranger.settimeout(5)
                with suppress(ConnectionResetError):
                    assert stranger.recv(100) == b""
        meet(Cluster(two, 1), 1, 30)
        assert describe(chief) == ""


def test_a_port_that_is_taken_is_told(addresses: tuple[str, ...]) -> None:
    port = addresses[0].split(":")[1]
    with (
        socket.create_server(("", int(port))),
        pytest.raises(WorkerError, match=f"can't listen on port {port} of TF_CONFIG .*: end what listens"),
    ):
        meet(Cluster(addresses, 0), 1, 1)


def _connect(address: str) -> socket.socket:
    host, port = address.split(":")
    for _ in range(100):
        with suppress(ConnectionRefusedError):
            return socket.create_connection((host, int(port)))
        time.sleep(0.05)
    raise TimeoutError(address)
