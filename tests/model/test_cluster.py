import json
from typing import Any

import pytest

from minigpt_pipeline.model.cluster import Cluster, is_other_worker, read_cluster

TWO = {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}


def tf_config(cluster: Any, task: Any) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def test_read_cluster_says_who_all_are_and_which_of_them_this_is() -> None:
    found = read_cluster(tf_config(TWO, {"type": "worker", "index": 1}))

    assert found == Cluster(("10.0.0.1:2222", "10.0.0.2:2222"), 1)
    assert not found.is_chief
    assert found.describe(0) == "worker 0, the chief, at 10.0.0.1:2222"


def test_a_chief_of_its_own_stands_before_the_workers() -> None:
    cluster = TWO | {"chief": ["10.0.0.9:2222"], "ps": ["10.0.0.8:2222"]}

    assert read_cluster(tf_config(cluster, {"type": "chief", "index": 0})).is_chief
    second = read_cluster(tf_config(cluster, {"type": "worker", "index": "1"}))
    assert (second.addresses[0], second.index) == ("10.0.0.9:2222", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"'multi_worker' needs the variable TF_CONFIG, and it is not set: .* `make train-workers`"),
        ("{worker", r"TF_CONFIG='\{worker' is no JSON \(.*\): write it like"),
        ("[]", "it has not the form of a cluster and a task; write it like"),
        ('{"cluster": {"worker": ["a:1"]}}', "it has not the form of a cluster and a task"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "the task of this process, worker 1, is none of the cluster's: worker 0;",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}',
            "this process, evaluator 0, is none of the cluster's: worker 0;",
        ),
        (
            '{"cluster": {}, "task": {"type": "worker", "index": 0}}',
            "none of the cluster's: it has no worker;",
        ),
        (
            '{"cluster": {"worker": ["here"]}, "task": {"type": "worker", "index": 0}}',
            "the address 'here' is not HOST:PORT",
        ),
    ],
    ids=["unset", "no json", "no object", "no task", "no such worker", "evaluator", "empty", "address"],
)
def test_read_cluster_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_cluster({"TF_CONFIG": text})
    assert not is_other_worker({"TF_CONFIG": text})


def test_is_other_worker_is_true_of_all_but_the_chief() -> None:
    found = [is_other_worker(tf_config(TWO, {"type": "worker", "index": index})) for index in (0, 1)]

    assert found == [False, True]
