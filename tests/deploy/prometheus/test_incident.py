"""What a real Prometheus tells of the simulated incident, and what the dashboards show of it."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import yaml

from tests.deploy.enforcement.programs import ROOT, program
from tests.deploy.prometheus.incident import Incident, watched_incident

RULES = ROOT / "deploy" / "prometheus" / "rules"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
#: Those who copy are of one company, so it may be told of the group, too.
COPYING = {"CopyingUnderWay", "CopyingByGroup"}


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incident]:
    with watched_incident(tmp_path_factory.mktemp("incident")) as seen:
        yield seen


def test_copying_is_told_within_a_minute_of_the_first_decision(incident: Incident) -> None:
    firing = 'ALERTS{alertname="CopyingUnderWay", alertstate="firing"}'
    first_s = min(
        at_s for series in incident.prometheus.now(f"{firing}[1h]") for at_s, _ in series["values"]
    )
    assert incident.first_decision_s > incident.begun_s
    assert first_s - incident.first_decision_s < 60


def test_nothing_but_copying_is_told_of_it(incident: Incident) -> None:
    fired = incident.prometheus.fired(incident.begun_s, incident.stopped_s)
    assert fired - COPYING == set()


def test_a_stopped_worker_is_told(incident: Incident) -> None:
    fired = incident.prometheus.fired(incident.stopped_s, incident.ended_s)
    assert fired - COPYING == {"NoProgress"}


def test_the_worker_names_and_explains_its_metrics_as_prometheus_wants(incident: Incident) -> None:
    done = subprocess.run(
        [program("promtool", "prometheus"), "check", "metrics"],
        input=incident.exposition,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    complaints = (done.stdout + done.stderr).splitlines()
    # An account-day is what the budgets count, and no time that could be given in seconds.
    assert [line for line in complaints if "account_days" not in line] == []


def test_every_metric_that_a_rule_asks_for_exists(incident: Incident) -> None:
    rules = [
        rule
        for path in RULES.glob("*.yml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    asked = {
        name for rule in rules for name in re.findall(r"\b(?:pairwatch_|process_)\w+", rule["expr"])
    }
    told = {line.split("{")[0].split(" ")[0] for line in incident.exposition.splitlines()}
    assert asked - told == set()


class Query(NamedTuple):
    """A query of a dashboard."""

    where: str
    expr: str


def queries() -> Iterator[Query]:
    for path in DASHBOARDS:
        board: dict[str, Any] = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                where = f"{path.stem}: {panel['title']} {target['refId']}"
                yield Query(where, target["expr"])
        for annotation in board["annotations"]["list"]:
            yield Query(f"{path.stem}: annotation {annotation['name']}", annotation["expr"])


@pytest.mark.parametrize("query", list(queries()), ids=lambda query: query.where)
def test_every_panel_shows_something_of_it(incident: Incident, query: Query) -> None:
    span_s = math.ceil(incident.stopped_s - incident.begun_s)
    # As Grafana fills them in: four scrape intervals, and what is on the screen.
    expr = query.expr.replace("$__rate_interval", "1m").replace("$__range", f"{span_s}s")
    expr = expr.replace("$worker", ".+")
    assert "$" not in expr
    found = incident.prometheus.between(expr, incident.begun_s, incident.stopped_s)
    assert [
        value for series in found for _, value in series["values"] if math.isfinite(float(value))
    ]


def test_the_choice_of_workers_has_the_worker(incident: Incident) -> None:
    found = incident.prometheus.series("pairwatch_build_info", incident.begun_s, incident.stopped_s)
    assert len({labels["instance"] for labels in found}) == 1
