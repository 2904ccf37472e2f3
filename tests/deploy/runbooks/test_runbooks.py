"""Whoever is woken up finds a page for each alert, and nothing on it that does not exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from prometheus_client import CollectorRegistry

from streams.metrics import Metrics
from streams.settings import Settings, load
from streams.topic_plan import plan
from tests.deploy.container.tools import DEPLOY, ROOT
from tests.deploy.runbooks.pages import (
    ALL_PAGES,
    PAGES,
    RUNBOOKS,
    blocks,
    command_lines,
    inline,
    links,
    parse,
)

SECTIONS = ["What it means", "How to see it", "What to do", "How to undo it"]


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for path in sorted((DEPLOY / "prometheus" / "rules").iterdir())
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def name(path: Path) -> str:
    return str(path.relative_to(DEPLOY))


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_its_page(alert: str) -> None:
    kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower()
    told = ALERTS[alert]["annotations"]["runbook_url"]
    assert told == f"deploy/runbooks/{kebab}.md"
    assert (ROOT / told).is_file()
    assert f"| {alert} | [{kebab}]({kebab}.md) |" in (RUNBOOKS / "README.md").read_text()


def test_each_page_is_listed_and_each_that_is_listed_exists() -> None:
    listed = [link for link in links(RUNBOOKS / "README.md") if "/" not in link]
    assert sorted(listed) == [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_page_says_what_it_means_how_to_see_it_what_to_do_and_how_to_undo_it(
    page: Path,
) -> None:
    assert re.findall(r"^## (.+)$", page.read_text(), flags=re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in links(page) if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_commands_are_ones_that_pairwatch_has(page: Path) -> None:
    for code in blocks(page):
        for arguments in command_lines(code):
            parse(arguments, whole=True)
    for code in inline(page):
        for arguments in command_lines(code):
            if not {*arguments} & {"…", "..."}:
                parse(arguments, whole=False)


@pytest.mark.parametrize(
    "line",
    [
        "pairwatch decisions --sicne 1h",
        "pairwatch decide",
        "pairwatch mode enforce",
        "pairwatch mode enfoce --why x",
        "cat log | pairwatch replay",
    ],
)
def test_a_command_that_does_not_exist_would_be_noticed(line: str) -> None:
    (arguments,) = command_lines(line)
    with pytest.raises(click.UsageError):
        parse(arguments, whole=True)


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_metrics_are_ones_that_a_worker_has(page: Path) -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    families = {family.name: family.type for family in registry.collect()}
    suffixes = {"counter": "_total", "info": "_info"}
    known = {metric + suffixes.get(kind, "") for metric, kind in families.items()}
    # The enforcement examples' own; histograms are named by their family.
    known.add("pairwatch_enforcement_lag_seconds")
    told = {re.split(r"[{ ]", code)[0] for code in inline(page) if code.startswith("pairwatch_")}
    variables = {"pairwatch_authz", "pairwatch_ask", "pairwatch_told_org"}  # nginx's
    assert told - variables <= known


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_settings_are_ones_that_there_are(page: Path) -> None:
    settings = Settings()
    sections = "|".join(settings.__struct_fields__)
    topics = {topic.name for topic in plan(settings, 1, 12)}
    for code in {*inline(page)} - topics:
        for section, key in re.findall(rf"^({sections})\.([a-z_0-9]+)(?: = .*)?$", code):
            assert hasattr(getattr(settings, section), key), f"{section}.{key}"


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_kafkas_tools_are_pointed_at_topics_that_there_are(page: Path) -> None:
    topics = {topic.name for topic in plan(Settings(), 1, 12)}
    for code in blocks(page):
        assert {*re.findall(r"--topic (\S+)", code)} <= topics
        assert {*re.findall(r"--group (\S+)", code)} <= {Settings().kafka.group}


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_kubectl_is_pointed_at_what_the_manifests_make(page: Path) -> None:
    kubernetes = DEPLOY / "kubernetes"
    overlay = yaml.safe_load((kubernetes / "overlays/production/kustomization.yaml").read_text())
    policy = yaml.safe_load((kubernetes / "base/network-policy.yaml").read_text())
    (scraper,) = policy["spec"]["ingress"][0]["from"]
    monitoring = scraper["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    for code in blocks(page):
        assert {*re.findall(r"kubectl -n (\S+)", code)} <= {overlay["namespace"], monitoring}
        assert {*re.findall(r"statefulset/(\S+)", code)} <= {"pairwatch"}
        for path in re.findall(r"kubectl apply -k (\S+)", code):
            assert (ROOT / path / "kustomization.yaml").is_file()


def test_files_that_commands_name_exist_or_are_the_readers_own() -> None:
    for page in ALL_PAGES:
        for path in re.findall(r"(deploy/\S+\.(?:toml|yaml))", "\n".join(blocks(page))):
            assert (ROOT / path).is_file(), f"{page}: {path}"


def test_the_rules_for_the_replay_are_settings() -> None:
    assert load(str(DEPLOY / "shippers" / "rules.toml"), {}).gateway.rules
