"""`compose.yaml` shows the whole on one machine, and its health checks mean what they say."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
import yaml
from click import Context
from prometheus_client import CollectorRegistry

from streams import health
from streams.commands import cli
from streams.metrics import Metrics
from streams.settings import load
from tests.deploy.container.tools import DEPLOY, run, tool

COMPOSE = DEPLOY / "compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
WORKERS = ("worker-1", "worker-2")
OURS = [name for name, service in SERVICES.items() if service["image"] == "pairwatch:local"]


def test_it_keeps_the_compose_specification() -> None:
    done = run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
    assert done.returncode == 0, done.stdout


def test_there_are_two_workers_a_job_for_the_topics_and_a_simulator_on_demand() -> None:
    assert {*WORKERS, "topics", "simulator"} == set(OURS)
    assert SERVICES["simulator"]["profiles"] == ["simulate"]
    assert [name for name in SERVICES if SERVICES[name].get("profiles")] == ["simulator"]


@pytest.mark.parametrize("name", OURS)
def test_commands_and_settings_are_ones_that_pairwatch_has(name: str) -> None:
    service = SERVICES[name]
    load(environ=service["environment"])
    command, *arguments = service["command"]
    found = cli.get_command(Context(cli), command)
    assert found is not None
    found.make_context(command, list(arguments))


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_has_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["read_only"] or name == "kafka"
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith("127.0.0.1:")


def test_each_worker_has_a_membership_and_a_volume_of_its_own() -> None:
    first, second = (SERVICES[name]["volumes"] for name in WORKERS)
    assert not {*first} & {*second}
    ids = {load(environ=SERVICES[name]["environment"]).kafka.instance_id for name in WORKERS}
    assert ids == set(WORKERS)


def test_workers_wait_for_the_topics_and_the_topics_for_a_broker_that_answers() -> None:
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    for name in WORKERS:
        done = {"topics": {"condition": "service_completed_successfully"}}
        assert SERVICES[name]["depends_on"] == done


async def test_a_worker_is_healthy_only_while_it_is_ready() -> None:
    metrics = Metrics(CollectorRegistry())
    readiness = health.Readiness(dead_letters_per_minute=1)
    runner = await health.start("127.0.0.1:0", metrics, readiness)
    port = runner.addresses[0][1]
    try:
        assert await healthcheck(port) != 0
        readiness.assigned([])
        assert await healthcheck(port) == 0
    finally:
        await runner.cleanup()
    assert await healthcheck(port) != 0


async def healthcheck(port: int) -> int:
    """Run the workers' health check against another port; return its exit status."""
    kind, python, option, code = SERVICES["worker-1"]["healthcheck"]["test"]
    assert (kind, python, option) == ("CMD", "python", "-c")
    assert ":9464/ready" in code
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code.replace(":9464/", f":{port}/"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


def test_what_is_mounted_exists() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).is_dir(), source
