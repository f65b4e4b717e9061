import pytest
import tensorflow as tf

from minigpt_pipeline.model.checkpoint import Checkpoint
from minigpt_pipeline.model.workers import Workers, find_lost

RESTART = "The error could be from a previous operation. Restart your program to reset."


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        (
            "Collective ops is aborted by: Error reported from /job:worker/task:1: The following tasks are unhealthy "
            "(stopped sending heartbeats):\n/job:worker/replica:0/task:2\n/job:worker/replica:0/task:1\nThe tasks have "
            f"crashed. Check the task logs\n{RESTART}",
            [1, 2],
        ),
        (
            "Collective ops is aborted by: failed to connect\nAdditional GRPC error information from remote target "
            f"/job:worker/replica:0/task:1 while calling /tensorflow.WorkerService/RecvBuf:\n{RESTART}",
            [1],
        ),
        (
            "Collective ops is aborted by: Deadline Exceeded\n\nRPC: /tensorflow.CoordinationService/Heartbeat",
            [0],
        ),
        (f"Collective ops is aborted by: something new\n{RESTART}", []),
        ("OOM when allocating tensor with shape[64,20000]", None),
    ],
    ids=["silent", "gone", "chief", "nobody named", "something else"],
)
def test_find_lost_names_who_is_lost(message: str, lost: list[int] | None) -> None:
    assert find_lost(message) == lost


def test_a_process_that_trains_alone_is_its_own_chief() -> None:
    alone = Workers(tf.distribute.get_strategy())
    checkpoint = Checkpoint(3, {"training": {}}, {})

    alone.check_equal({"model": "a"})
    assert alone.is_chief
    assert alone.agree("patience", True) == ("patience", True)
    assert alone.take_over(checkpoint) is checkpoint
    with pytest.raises(tf.errors.ResourceExhaustedError), alone.watched():
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")
