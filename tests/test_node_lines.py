import logging

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner

from minigpt_pipeline.node_lines import NodeLines, describe_seconds


def copy(text: str) -> str:
    return text


def test_each_node_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    nodes = [Node(copy, "a", "b", name="first"), Node(copy, "b", "c", name="second")]
    pipeline = Pipeline(nodes)
    hooks = _create_hook_manager()
    hooks.register(NodeLines())
    hooks.hook.before_pipeline_run(run_params={}, pipeline=pipeline, catalog=DataCatalog())

    with caplog.at_level(logging.INFO, "minigpt_pipeline"):
        SequentialRunner().run(pipeline, DataCatalog({"a": MemoryDataset("text")}), hooks)

    lines = [record.message for record in caplog.records if record.name == "minigpt_pipeline.node_lines"]
    assert lines == ["1 of 2: first, 0.0 s", "2 of 2: second, 0.0 s"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (59.9, "59.9 s"), (60, "1:00 min"), (3605, "60:05 min")]
)
def test_durations_are_said_as_people_do(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text
