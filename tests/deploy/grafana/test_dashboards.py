"""The dashboards and alert rules for Grafana: generated from the code beside them, and readable.

That every query shows something is tried on a real Prometheus in `tests/deploy/prometheus`.
"""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml

from deploy.grafana.__main__ import generated
from tests.deploy.enforcement.programs import ROOT

GRAFANA = ROOT / "deploy" / "grafana"
PROVISIONING = GRAFANA / "provisioning"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in GRAFANA.glob("dashboards/*.json")}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, board in DASHBOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]
Json = dict[str, Any]


def test_what_is_committed_is_what_the_code_generates() -> None:
    texts = generated()
    assert {path: path.read_text() for path in texts} == texts
    kept = {*GRAFANA.glob("dashboards/*"), *PROVISIONING.glob("alerting/*")}
    assert kept == texts.keys()


@pytest.mark.parametrize("board", DASHBOARDS.values(), ids=list(DASHBOARDS))
def test_a_dashboard_can_be_found_and_pointed_at_any_prometheus(board: Json) -> None:
    assert board["title"]
    assert board["description"]
    assert board["tags"] == ["pairwatch"]
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    asked = set(re.findall(r"\$\{?(\w+)", json.dumps(board["panels"])))
    assert asked == variables.keys() | (asked & {"__rate_interval", "__range"})


def test_dashboards_and_their_panels_are_told_apart() -> None:
    assert len({board["uid"] for board in DASHBOARDS.values()}) == len(DASHBOARDS) == 3
    for board in DASHBOARDS.values():
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("board", DASHBOARDS.values(), ids=list(DASHBOARDS))
def test_no_panel_lies_on_another_or_beyond_the_edge(board: Json) -> None:
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_shows_in_which_unit_and_what_to_make_of_it(panel: Json) -> None:
    assert re.match(r"[A-Z]", panel["title"])
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_asks_for_rates_over_what_grafana_or_a_rule_works_out(panel: Json) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["legendFormat"]
        spans = set(re.findall(r"\[([^]]*)\]", target["expr"]))
        assert spans <= {"$__rate_interval", "$__range"}


def provisioned_alerts() -> list[Json]:
    groups = json.loads((PROVISIONING / "alerting" / "pairwatch.json").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_grafana_has_the_alerts_of_prometheus_and_does_not_tell_them_twice() -> None:
    rules = ROOT / "deploy" / "prometheus" / "rules" / "alerts.yml"
    groups = yaml.safe_load(rules.read_text())["groups"]
    assert [rule["data"][0]["model"]["expr"] for rule in provisioned_alerts()] == [
        rule["expr"] for group in groups for rule in group["rules"]
    ]
    assert all(rule["isPaused"] for rule in provisioned_alerts())
    uids = [rule["uid"] for rule in provisioned_alerts()]
    assert len(set(uids)) == len(uids)
    assert max(map(len, uids)) <= 40


def test_grafana_finds_no_variable_of_its_environment_in_an_alert() -> None:
    # It fills them in everywhere but in annotations.
    for rule in provisioned_alerts():
        rest = {key: value for key, value in rule.items() if key != "annotations"}
        assert "$" not in json.dumps(rest)


def test_alerts_ask_the_data_source_that_is_provisioned() -> None:
    sources = yaml.safe_load((PROVISIONING / "datasources" / "pairwatch.yaml").read_text())
    uids = {source["uid"] for source in sources["datasources"]}
    assert {rule["data"][0]["datasourceUid"] for rule in provisioned_alerts()} == uids


def test_grafana_knows_how_often_prometheus_scrapes() -> None:
    # $__rate_interval is four times as long; too short and the panels have holes.
    sources = yaml.safe_load((PROVISIONING / "datasources" / "pairwatch.yaml").read_text())
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    told = {source["jsonData"]["timeInterval"] for source in sources["datasources"]}
    assert told == {config["global"]["scrape_interval"]}
