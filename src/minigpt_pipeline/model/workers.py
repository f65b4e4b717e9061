"""Several processes that train one model: how they come together, what they tell each other, and who is lost.

What they tell each other goes the way of the gradients, as sums over all workers: there is one thing that can fail,
TensorFlow's collectives, and its coordination service, which notices who is silent, ends them on all others.
"""

import faulthandler
import json
import logging
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigpt_pipeline.model.checkpoint import Checkpoint, Fingerprint
from minigpt_pipeline.model.cluster import Cluster
from minigpt_pipeline.model.rendezvous import START_AGAIN, WorkerError, meet
from minigpt_pipeline.parameters import ComputeSettings

logger = logging.getLogger(__name__)

JOB = "worker"
CONNECT_SECONDS = 60
"""In which TensorFlow connects workers that have met."""
ENDS = ("", "max_steps", "epochs", "patience", "max_minutes")
PIECE = 1 << 20  # values of two bytes that are told at once
UNHEALTHY = re.compile(rf"unhealthy .*:\s*((?:/job:{JOB}/replica:\d+/task:\d+\s*)+)")
TASK = re.compile(r"/task:(\d+)")

ALONE = Cluster(("this process",), 0)

_joined: dict[Cluster, Any] = {}
"""The strategy of this process: TensorFlow connects a process once."""


def join(cluster: Cluster, settings: ComputeSettings, num_devices: int) -> None:
    """Come together with the other workers, before TensorFlow computes anything; a second time does nothing.

    Args:
        cluster: Who they are, and which of them this is.
        settings: Supplies how long to wait for them, and after how long a silent one is lost.
        num_devices: That this process trains on.

    Raises:
        WorkerError: If they don't come together.
    """
    if cluster in _joined:
        return
    meet(cluster, num_devices, settings.worker_start_seconds)
    _joined[cluster] = _connect(cluster, settings.worker_lost_seconds)
    logger.info(
        "%d workers train together; this is %s", len(cluster.addresses), cluster.describe(cluster.index)
    )


def find_strategy() -> Any:
    """Return the `MultiWorkerMirroredStrategy` of the cluster that this process has joined."""
    (strategy,) = _joined.values()
    return strategy


def _connect(cluster: Cluster, lost_seconds: float) -> Any:
    """Let TensorFlow connect the workers; it holds Python meanwhile, so that only a watchdog in C can end it."""
    import tensorflow as tf
    from tensorflow.python.eager import context

    # TensorFlow has no public setting for the silence after which a worker is lost.
    job = context.coordination_config_pb2.CoordinatedJob(name=JOB, num_tasks=len(cluster.addresses))
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=f"/job:{JOB}/replica:0/task:0",
        cluster_register_timeout_in_ms=1000 * CONNECT_SECONDS,
        heartbeat_timeout_in_ms=round(1000 * lost_seconds),
        coordinated_jobs=[job],
    )
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({JOB: list(cluster.addresses)}),
        task_type=JOB,
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 -- its descriptor is what counts
        faulthandler.dump_traceback_later(2 * CONNECT_SECONDS, exit=True, file=nowhere)
        try:
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
        except tf.errors.OpError as error:
            raise WorkerError(
                f"TensorFlow could not connect the workers ({str(error).splitlines()[0]}): see what the others say "
                f"and whether each reaches the addresses of all; {START_AGAIN}"
            ) from error
        finally:
            faulthandler.cancel_dump_traceback_later()
            if is_main:  # TensorFlow takes SIGTERM for a notice and goes on
                signal.signal(signal.SIGTERM, before)


class Workers:
    """All processes that train a model together: the chief, who decides and writes, and the others.

    A process that trains alone is its own chief; nothing is told then.

    Args:
        strategy: The `tf.distribute.Strategy` of the training.
    """

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy
        self._cluster = next((cluster for cluster, one in _joined.items() if one is strategy), ALONE)
        self._is_alone = self._cluster == ALONE

    @property
    def is_chief(self) -> bool:
        """Whether this process measures and writes."""
        return self._cluster.is_chief

    def agree(self, end: str, interrupted: bool) -> tuple[str, bool]:
        """Let all workers come to the same end of a training, behind the same step.

        Args:
            end: What ends it for this worker, one of `ENDS`.
            interrupted: Whether this worker was asked to stop.

        Returns:
            What ends it for the chief, and whether any worker was asked to stop.
        """
        if self._is_alone:
            return end, interrupted
        told, stops = self._add(np.array([ENDS.index(end) if self.is_chief else 0, interrupted], np.float32))
        return ENDS[int(told)], bool(stops)

    def check_equal(self, fingerprint: Fingerprint) -> None:
        """Compare what decides about the training with the chief's.

        Raises:
            WorkerError: On all workers, if it differs on any.
        """
        if self._is_alone:
            return
        with self.watched():
            found = [json.loads(each) for each in self._tell_all(json.dumps(fingerprint).encode())]
        different = {
            index: sorted(name for name in found[0] | other if found[0].get(name) != other.get(name))
            for index, other in enumerate(found)
        }
        wrong = [
            f"{self._cluster.describe(index)} has other {', '.join(names)}"
            for index, names in different.items()
            if names
        ]
        if wrong:
            raise WorkerError(
                f"{'; '.join(wrong)} than the chief: give all workers the same code, parameters and data, and devices "
                f"of one kind; {START_AGAIN}"
            )

    def take_over(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """Give all workers the chief's checkpoint, wherever it lies.

        Args:
            checkpoint: The chief's; null where there is none. That of others is not looked at.

        Returns:
            The chief's, bit for bit, but for what only the chief needs: its record and its best weights.
        """
        if self._is_alone:
            return checkpoint
        about: Any = None
        if checkpoint and self.is_chief:
            shapes = {
                name: [(array.dtype.str, array.shape) for array in arrays]
                for name, arrays in checkpoint.arrays.items()
                if name != "best_weights"
            }
            about = {"step": checkpoint.step, "training": checkpoint.state["training"], "shapes": shapes}
        about = json.loads(self._tell(json.dumps(about).encode()))
        if about is None:
            return None
        arrays: dict[str, list[np.ndarray]] = {name: [] for name in about["shapes"]}
        for name, shapes in about["shapes"].items():
            for place, (dtype, shape) in enumerate(shapes):
                own = checkpoint.arrays[name][place].tobytes() if checkpoint and self.is_chief else b""
                arrays[name].append(np.frombuffer(self._tell(own), dtype).reshape(shape))
        if self.is_chief:
            return checkpoint
        return Checkpoint(about["step"], {"training": about["training"]}, arrays)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Say who is lost where a worker is.

        Raises:
            WorkerError: If TensorFlow reports that one is.
        """
        if self._is_alone:
            yield
            return
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            lost = find_lost(str(error))
            if lost is None:
                raise
            who = ", ".join(map(self._cluster.describe, lost)) or "a worker"
            raise WorkerError(
                f"Lost {who}, and the training can't go on without it: see what it says, then start the same command "
                "on all workers again: training goes on from the newest checkpoint"
            ) from error

    def _tell(self, content: bytes) -> bytes:
        """Return the chief's content on all workers."""
        return self._tell_all(content, only_chief=True)[0]

    def _tell_all(self, content: bytes, only_chief: bool = False) -> list[bytes]:
        """Return each worker's content on all workers."""
        index, count = self._cluster.index, 1 if only_chief else len(self._cluster.addresses)
        sizes = np.zeros((count, 2), np.float32)
        if index < count:
            sizes[index] = divmod(len(content), PIECE)  # a float32 holds whole numbers up to 2 ** 24
        sizes = self._add(sizes)
        lengths = [int(high) * PIECE + int(low) for high, low in sizes]
        contents = []
        for place, length in enumerate(lengths):
            own = np.frombuffer(content + b"\0" * (length % 2), "<u2") if place == index else None
            pieces = []
            for start in range(0, (length + 1) // 2, PIECE):
                size = min(PIECE, (length + 1) // 2 - start)
                piece = np.zeros(size, np.float32) if own is None else own[start : start + size]
                pieces.append(self._add(piece.astype(np.float32)).astype("<u2").tobytes())
            contents.append(b"".join(pieces)[:length])
        return contents

    def _add(self, values: np.ndarray) -> np.ndarray:
        """Return the sum over all workers: float32, which every device and way of communication knows."""
        import tensorflow as tf

        first = self._cluster.index * self._strategy.num_replicas_in_sync // len(self._cluster.addresses)
        parts = self._strategy.experimental_distribute_values_from_function(
            lambda device: tf.constant(
                values if device.replica_id_in_sync_group == first else np.zeros_like(values)
            )
        )
        total: np.ndarray = self._strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None).numpy()
        return total


def find_lost(message: str) -> list[int] | None:
    """Return the numbers of the workers that an error of TensorFlow says are lost.

    Args:
        message: Of the error.

    Returns:
        None if it is about something else; empty if it names nobody.
    """
    if named := UNHEALTHY.search(message):
        return sorted({int(number) for number in TASK.findall(named[1])})
    if "Collective ops is aborted" not in message and "CoordinationService" not in message:
        return None
    if peer := re.search(rf"remote target /job:{JOB}/replica:0/task:(\d+)", message):
        return [int(peer[1])]
    return [0] if "CoordinationService" in message else []
