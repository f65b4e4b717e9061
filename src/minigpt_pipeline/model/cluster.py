"""Which processes train one model together, and which of them this one is: TensorFlow's `TF_CONFIG`.

Its standard form, which Kubeflow and the clouds' training services set too:
`{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}`. A `chief` of its own
stands before the workers.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VARIABLE = "TF_CONFIG"
EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}'
TASKS = ("chief", "worker")
"""Kinds of tasks that train, the chief first."""


@dataclass(frozen=True)
class Cluster:
    """The workers of a training, seen from one of them.

    Args:
        addresses: `host:port` of each, the chief's first.
        index: Which of them this process is; 0 is the chief.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what the training makes."""
        return self.index == 0

    def describe(self, index: int) -> str:
        """Name a worker as messages do."""
        return f"worker {index}{', the chief,' if index == 0 else ''} at {self.addresses[index]}"


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Read the cluster that this process belongs to.

    Raises:
        ValueError: If `TF_CONFIG` is not set, is no JSON, or does not say who all are and which of them this is.
    """
    text = environment.get(VARIABLE, "")
    if not text:
        raise ValueError(
            f"strategy='multi_worker' needs the variable {VARIABLE}, and it is not set: on each worker it says who all "
            f"are and which of them this is, {EXAMPLE}; `make train-workers` sets it for a try on one machine, and "
            "strategy=one_device in conf/*/catalog_compute.yml trains without others"
        )
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{VARIABLE}={text!r} is no JSON ({error}): write it like {EXAMPLE}") from error
    try:
        return _make_cluster(content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = error if type(error) is ValueError else "it has not the form of a cluster and a task"
        raise ValueError(f"{VARIABLE}={text!r}: {reason}; write it like {EXAMPLE}") from error


def is_other_worker(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is a worker that is not the chief; one without a readable `TF_CONFIG` is none."""
    try:
        return not read_cluster(environment).is_chief
    except ValueError:
        return False


def _make_cluster(content: dict[str, Any]) -> Cluster:
    cluster, task = content["cluster"], content["task"]
    addresses = [
        (kind, place, address) for kind in TASKS for place, address in enumerate(cluster.get(kind, []))
    ]
    for _, _, address in addresses:
        host, _, port = address.rpartition(":")
        if not (host and port.isdecimal()):
            raise ValueError(f"the address {address!r} is not HOST:PORT")
    this = (task["type"], int(task["index"]))
    tasks = [(kind, place) for kind, place, _ in addresses]
    if this not in tasks:
        raise ValueError(
            f"the task of this process, {this[0]} {this[1]}, is none of the cluster's: "
            f"{', '.join(f'{kind} {place}' for kind, place in tasks) or 'it has no worker'}"
        )
    return Cluster(tuple(address for _, _, address in addresses), tasks.index(this))
