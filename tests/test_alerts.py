"""Alert rules ask for what a server really exposes, and Prometheus can read them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, ConfigDict, Field

from minigpt_pipeline.parameters import ServedBounds
from minigpt_pipeline.serving.settings import read_settings
from minigpt_pipeline.serving.watch import Watch
from tests.served import make_text

PROJECT = Path(__file__).parents[1]
FOLDER = PROJECT / "deploy/prometheus"
Duration = Annotated[str, Field(pattern=r"^\d+[smhd]$")]

FUNCTIONS = {"sum", "by", "rate", "increase", "histogram_quantile", "time", "min_over_time", "changes", "max"}
"""Words of PromQL that rules use."""
OF_PROMETHEUS = {"up": {"job": "minigpt"}}
"""Samples that Prometheus makes itself; it adds `job` and `instance` to all."""
LABELS_OF_A_SCRAPE = {"job", "instance", "le"}


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Rule(Strict):
    """As Prometheus' documentation has it; `for` is a word of Python."""

    alert: Annotated[str, Field(pattern=r"^MiniGPT[A-Za-z]+$")]
    expr: str
    wait: Annotated[Duration | None, Field(alias="for")] = None
    labels: dict[Literal["severity"], Literal["critical", "warning", "info"]]
    annotations: dict[Literal["summary", "action"], Annotated[str, Field(min_length=20)]]


class Group(Strict):
    name: str
    rules: list[Rule]


class Rules(Strict):
    groups: list[Group]


def read_rules() -> list[Rule]:
    rules = Rules(**yaml.safe_load((FOLDER / "alerts.yml").read_text()))
    return [rule for group in rules.groups for rule in group.rules]


@pytest.fixture(scope="module")
def exposed() -> dict[str, list[dict[str, str]]]:
    """The labels of all samples of a server that has answered, failed, refused and switched."""
    watch = Watch()
    watch.put_in_use("minigpt", "3", "data")
    watch.put_in_use("minigpt", "4", "data")
    watch.answered(make_text())
    watch.refused(429, "overloaded")
    watch.refused(503, "stopping")
    samples: dict[str, list[dict[str, str]]] = {name: [labels] for name, labels in OF_PROMETHEUS.items()}
    for family in text_string_to_metric_families(watch.render()[0].decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample.labels | {"job": "minigpt"})
    return samples


def list_selectors(expr: str) -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
    """Yield each metric of an expression with what it asks of its labels: operator and value."""
    for name, matchers in re.findall(r"\b(minigpt_\w+|process_\w+|up)\b(?:\{([^}]*)\})?", expr):
        yield (
            name,
            {label: (how, value) for label, how, value in re.findall(r'(\w+)(=~|=)"([^"]*)"', matchers)},
        )


def find_faults(expr: str, exposed: dict[str, list[dict[str, str]]]) -> list[str]:
    """Say what of an expression no server has, or Prometheus can't read."""
    faults = []
    for name, matchers in list_selectors(expr):
        matching = [
            labels
            for labels in exposed.get(name, [])
            if all(
                re.fullmatch(value, labels.get(label, "")) if how == "=~" else labels.get(label) == value
                for label, (how, value) in matchers.items()
            )
        ]
        if not matching:
            faults.append(f"nothing exposes {name}{matchers or ''}")
    bare = re.sub(r'\{[^}]*\}|"[^"]*"|\[\d+[smhd]\]', " ", expr)
    words = set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", bare))
    faults += [
        f"{word} is no word of PromQL"
        for word in sorted(words - FUNCTIONS - exposed.keys() - LABELS_OF_A_SCRAPE)
    ]
    for opening, closing in ("()", "[]", "{}"):
        if expr.count(opening) != expr.count(closing):
            faults.append(f"{opening} is not closed")
    for window in re.findall(r"\[[^\]]*\]", expr):
        if not re.fullmatch(r"\[\d+[smhd]\]", window):
            faults.append(f"{window} is no duration")
    if re.search(r"\b(rate|increase)\((?![^()]*\[)", expr):
        faults.append("rate needs a window")
    return faults


@pytest.mark.parametrize("rule", read_rules(), ids=lambda rule: rule.alert)
def test_a_rule_asks_for_what_servers_expose(rule: Rule, exposed: dict[str, list[dict[str, str]]]) -> None:
    assert list(list_selectors(rule.expr))
    assert find_faults(rule.expr, exposed) == []
    assert rule.annotations.keys() == {"summary", "action"}


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("minigpt_request_total > 1", "nothing exposes minigpt_request_total"),
        ('minigpt_requests_total{status="404"} > 1', "nothing exposes minigpt_requests_total"),
        ('minigpt_ready{version="3"} == 0', "nothing exposes minigpt_ready"),
        ("sum(rate(minigpt_texts_total[5m]) > 1", "( is not closed"),
        ("rate(minigpt_texts_total[5 minutes]) > 1", "[5 minutes] is no duration"),
        ("rate(minigpt_texts_total) > 1", "rate needs a window"),
        ("average(minigpt_slots) > 1", "average is no word of PromQL"),
    ],
)
def test_a_wrong_rule_is_noticed(expr: str, fault: str, exposed: dict[str, list[dict[str, str]]]) -> None:
    assert any(found.startswith(fault) for found in find_faults(expr, exposed))


def test_alerts_have_names_of_their_own_and_say_of_what_they_warn() -> None:
    names = [rule.alert for rule in read_rules()]

    assert len(names) == len(set(names)) > 9


def test_the_document_names_every_metric_and_no_other(exposed: dict[str, list[dict[str, str]]]) -> None:
    page = (PROJECT / "docs/monitoring.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(minigpt_\w+)`", page))
    ends = r"_(bucket|count|sum|created)$"

    assert named == {re.sub(ends, "", name) for name in exposed if re.match(r"minigpt_(?!.*_created)", name)}


@pytest.mark.parametrize(
    ("alert", "bound"),
    [
        ("MiniGPTErrors", "max_error_share"), ("MiniGPTOverloaded", "max_overloaded_share"),
        ("MiniGPTQueue", "max_waited_p95"), ("MiniGPTSlowFirstToken", "max_first_token_p95"),
        ("MiniGPTSlowTexts", "max_seconds_p95"), ("MiniGPTUnknownWords", "max_unk_rate_rise"),
    ],
)  # fmt: skip
def test_bounds_are_those_of_the_pipeline(alert: str, bound: str) -> None:
    parameters = yaml.safe_load((PROJECT / "conf/base/parameters_monitoring.yml").read_text())["monitoring"]
    bounds = ServedBounds(**parameters["bounds"])
    (expr,) = [rule.expr for rule in read_rules() if rule.alert == alert]

    assert float(expr.rpartition(">")[2]) == getattr(bounds, bound)


def test_prometheus_looks_where_the_server_is() -> None:
    settings: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (job,) = settings["scrape_configs"]
    serving = read_settings(PROJECT)

    assert settings["rule_files"] == ["alerts.yml"]
    assert job["job_name"] == OF_PROMETHEUS["up"]["job"]
    assert job["static_configs"] == [{"targets": [f"{serving.host}:{serving.port}"]}]
    assert job["metrics_path"] == "/metrics"
