"""Servers listen to this machine alone, and say what is missing where somebody tells them otherwise."""

import re
from pathlib import Path

import pytest
import yaml
from kedro_viz.launchers.cli.run import run as viz

from minigpt_pipeline.addresses import is_loopback
from minigpt_pipeline.scheduling import __main__ as scheduling
from minigpt_pipeline.serving import __main__ as serving

PROJECT = Path(__file__).parents[2]
MAKEFILE = (PROJECT / "Makefile").read_text()


def test_the_targets_listen_on_loopback() -> None:
    (host,) = re.findall(r"mlflow server --host (\S+)", MAKEFILE)
    settings = yaml.safe_load((PROJECT / "conf/base/serving.yml").read_text())
    (of_viz,) = [option.default for option in viz.params if option.name == "host"]

    assert all(is_loopback(one) for one in (host, settings["host"], of_viz, scheduling.HOST))
    assert settings["behind_proxy"] is False
    assert re.findall(r"--host \S+", MAKEFILE) == [f"--host {host}"]  # no target passes another one on


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7"])
def test_the_schedules_want_a_proxy_where_others_reach_them(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        scheduling.main(["--host", host])

    assert "which ask nobody who they are: say --behind-proxy" in capsys.readouterr().err


def test_the_server_wants_a_key_where_others_reach_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.delenv("MINIGPT_SERVING_KEY", raising=False)

    assert serving.main(["--host", "0.0.0.0", "--port", "0"]) == 1
    assert (
        "Error: host=0.0.0.0 lets others than this machine ask, and no key is set" in capsys.readouterr().err
    )


def test_no_key_can_be_given_on_a_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        serving.main(["--help"])

    assert re.findall(r"--\w+", capsys.readouterr().out.partition("options:")[2]) == [
        "--help",
        "--host",
        "--port",
    ]
