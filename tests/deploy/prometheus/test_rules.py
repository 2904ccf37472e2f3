"""The rules, by the unit tests beside this file: every alert has fired and kept silent in one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.enforcement.programs import ROOT, program

PROMETHEUS = ROOT / "deploy" / "prometheus"
UNIT_TESTS = sorted(Path(__file__).parent.glob("*.yml"))


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "rules" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(
        [program("promtool", "prometheus"), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_and_its_rules_are_valid() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_the_rules_do_what_their_unit_tests_say(path: Path) -> None:
    promtool("test", "rules", path)


def expectations() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for path in UNIT_TESTS:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for asked in test["promql_expr_test"]:
                yield asked["expr"], asked["exp_samples"]


def test_every_alert_fires_in_a_unit_test_in_each_of_its_severities() -> None:
    fired = set()
    for _, samples in expectations():
        for sample in samples:
            told = dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"]))
            fired.add((told["alertname"], told["severity"]))
    assert fired == {(rule["alert"], rule["labels"]["severity"]) for rule in alerts()}


def test_every_alert_keeps_silent_in_a_unit_test() -> None:
    silent = {
        name
        for expr, samples in expectations()
        if not samples
        for name in re.findall('alertname="(\\w+)"', expr)
    }
    assert silent == {rule["alert"] for rule in alerts()}


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_happens_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    runbook = rule["annotations"]["runbook_url"]
    assert runbook == f"deploy/runbooks/{kebab(rule['alert'])}.md"
    assert (ROOT / runbook).is_file()
