"""Who is told of what, by a real Alertmanager with the configuration an operator starts from."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.embedded import free_port
from tests.deploy.enforcement.programs import ROOT, program, running

ALERTMANAGER = ROOT / "deploy" / "alertmanager"
CONFIG = ALERTMANAGER / "alertmanager.yml"
_TOLD_WITHIN_S = 30.0


def amtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [program("amtool", "prometheus-alertmanager"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_is_valid() -> None:
    amtool("check-config", CONFIG)


@pytest.mark.parametrize("severity", ["page", "ticket"])
def test_each_severity_has_a_receiver_of_its_own(severity: str) -> None:
    labels = ("service=pairwatch", f"severity={severity}")
    receiver = amtool("config", "routes", "test", "--config.file", CONFIG, *labels)
    assert receiver.strip() == severity


def test_a_message_says_what_happens_and_where_the_runbook_is(tmp_path: Path) -> None:
    alerts = [
        {"annotations": {"summary": f"S{n}", "description": f"D{n}.", "runbook_url": f"r{n}.md"}}
        for n in range(3)
    ]
    data = tmp_path / "alerts.json"
    data.write_text(json.dumps({"status": "firing", "alerts": alerts}))
    template = ("template", "render", "--template.glob", ALERTMANAGER / "templates" / "*.tmpl")
    told = [
        amtool(
            *template, "--template.data", data, "--template.text", f'{{{{ template "{name}" . }}}}'
        )
        for name in ("pairwatch.title", "pairwatch.text")
    ]
    assert told[0].strip() == "FIRING: S0 (and 2 more)"
    assert told[1].split("\n")[:4] == ["S0. D0.", "Runbook: r0.md", "S1. D1.", "Runbook: r1.md"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory, port = tmp_path_factory.mktemp("alertmanager"), free_port()
    arguments = [
        # Debian calls it otherwise; /usr/bin/alertmanager is another program's name there.
        program("prometheus-alertmanager", "prometheus-alertmanager"),
        f"--config.file={CONFIG}",
        f"--storage.path={directory}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with running(arguments, directory / "log", port):
        yield f"http://127.0.0.1:{port}"


def eventually(ask: Callable[[], Any], expected: object) -> None:
    deadline = time.monotonic() + _TOLD_WITHIN_S
    while (answer := ask()) != expected:
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)


def test_what_follows_from_something_worse_is_not_told_on_its_own(url: str) -> None:
    def told(*how: str) -> set[str]:
        found = json.loads(
            amtool("alert", "query", f"--alertmanager.url={url}", "-o", "json", *how)
        )
        return {f"{alert['labels']['alertname']} {alert['labels']['severity']}" for alert in found}

    firing = [
        "CopyingUnderWay ticket scenario=catalogue-sweep",
        "CopyingUnderWay page scenario=catalogue-sweep",
        "CopyingUnderWay ticket scenario=slow-drip",
        "DecisionsDoubled ticket",
        "NoProgress page instance=a",
        "LagGrowing ticket topic=t",
        "DeadLetters ticket",
        "WorkerNotReady ticket instance=b",
        "StateGrowing ticket instance=a",
    ]
    for alert in firing:
        name, severity, *labels = alert.split()
        labels += [f"severity={severity}", "service=pairwatch"]
        amtool("alert", "add", f"--alertmanager.url={url}", f"alertname={name}", *labels)

    eventually(
        lambda: told("--active"),
        {
            "CopyingUnderWay page",
            "CopyingUnderWay ticket",  # that of slow-drip
            "NoProgress page",
            "DeadLetters ticket",
            "StateGrowing ticket",
        },
    )
    assert told("--inhibited") == {
        "CopyingUnderWay ticket",
        "DecisionsDoubled ticket",
        "LagGrowing ticket",
        "WorkerNotReady ticket",
    }
