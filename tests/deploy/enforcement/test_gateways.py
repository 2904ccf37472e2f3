"""Gateways that ask the authz service: they refuse whom the decisions name, and pass the rest."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

from deploy.enforcement.authz.service import main
from models.decision import Decision
from streams.embedded import free_port
from streams.settings import Settings
from tests.decisions import StateTopic, ban, decision, state_topic_of, tomorrow
from tests.deploy.enforcement.programs import EXAMPLES, Envoy, Kong, becomes, example

OPTIONS = {parameter.name: parameter.default for parameter in main.params}


class Got(NamedTuple):
    status: int
    type: str
    headers: dict[str, str]
    body: Any


class World:
    """A gateway before a platform that says what it was asked."""

    def __init__(self, gateway: Envoy | Kong, session: ClientSession, authz_port: int) -> None:
        self.gateway = gateway
        self.authz_port = authz_port
        self._session = session

    async def ask(self, account_id: str, org: str = "", body: str = "") -> Got:
        told = {"X-Account-Id": account_id, "X-Account-Org": org}
        async with self._session.request(
            "POST" if body else "GET",
            f"http://127.0.0.1:{self.gateway.port}/v1/images?page=2",
            headers={name: value for name, value in told.items() if value},
            data=body or None,
        ) as answer:
            is_json = "json" in answer.content_type
            read = await answer.json(content_type=None) if is_json else await answer.text()
            return Got(answer.status, answer.content_type, dict(answer.headers), read)

    async def status(self, account_id: str, org: str = "") -> int:
        return (await self.ask(account_id, org)).status


@pytest.fixture(params=[Envoy, Kong], ids=["envoy", "kong"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async def answer(asked: web.Request) -> web.Response:
        return web.Response(text=f"{asked.method} {asked.path_qs} {await asked.text()}")

    platform = web.Application()
    platform.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(platform)
    await runner.setup()
    authz_port = free_port()
    try:
        await web.TCPSite(runner, "127.0.0.1", platform_port := free_port()).start()
        gateway = request.param(tmp_path / "gateway", platform_port, authz_port)
        connector = TCPConnector(force_close=True)
        async with ClientSession(connector=connector, cookie_jar=DummyCookieJar()) as session:
            with gateway.running():
                yield World(gateway, session, authz_port)
    finally:
        await runner.cleanup()


@asynccontextmanager
async def enforcing(world: World, settings: Settings, directory: Path) -> AsyncIterator[StateTopic]:
    """Run the service as the examples say, until the gateway knows that `known` is banned."""
    authz = ("--listen", f"127.0.0.1:{world.authz_port}", "--link", "org=X-Account-Org")
    async with state_topic_of(settings) as state:
        await state.put(lasting_ban("known"))
        with example("authz/service.py", settings, directory, *authz, port=world.authz_port):
            await becomes(lambda: world.status("known"), 403)
            yield state


def lasting_ban(value: str, **changes: Any) -> Decision:
    return ban(1, value, expires_at=tomorrow(), **changes)


async def test_without_the_service_everybody_passes(world: World) -> None:
    for account_id in ("acct_17", ""):
        got = await world.ask(account_id)
        assert (got.status, got.body) == (200, "GET /v1/images?page=2 ")


async def test_a_decision_in_kafka_blocks_a_request_until_it_is_lifted(
    world: World, settings_for_broker: Settings, tmp_path: Path
) -> None:
    async with enforcing(world, settings_for_broker, tmp_path) as state:
        assert (await world.ask("acct_17", body="a prompt")).body.endswith(" a prompt")
        await state.put(lasting_ban("acct_17"))
        await becomes(lambda: world.status("acct_17"), 403)
        got = await world.ask("acct_17", body="a prompt")
        assert (got.status, got.type) == (403, "application/problem+json")
        assert got.headers["Cache-Control"] == "no-store"
        assert got.body["type"] == "urn:pairwatch:problem:banned"
        assert (got.body["status"], got.body["decision_id"]) == (403, "acct_17-1")
        assert await world.status("acct_18") == 200
        await state.lift(lasting_ban("acct_17"))
        await becomes(lambda: world.status("acct_17"), 200)


async def test_a_throttled_account_is_told_when_to_come_back(
    world: World, settings_for_broker: Settings, tmp_path: Path
) -> None:
    slow = decision(1, "slow", limit_per_minute=0.1, expires_at=tomorrow())
    async with enforcing(world, settings_for_broker, tmp_path) as state:
        await state.put(slow)
        await becomes(lambda: world.status("slow"), 429)
        got = await world.ask("slow")
        assert got.type == "application/problem+json"
        assert 0 < int(got.headers["Retry-After"]) <= 600
        assert got.body["type"] == "urn:pairwatch:problem:throttled"
        assert got.body["decision_id"] == "slow-1"


async def test_a_group_s_decision_reaches_its_members_and_a_simulated_one_nobody(
    world: World, settings_for_broker: Settings, tmp_path: Path
) -> None:
    async with enforcing(world, settings_for_broker, tmp_path) as state:
        await state.put(lasting_ban("shadow", simulated=True))
        await state.put(lasting_ban("org:example.com", scope="group"))
        await becomes(lambda: world.status("acct_17", "example.com"), 403)
        assert await world.status("acct_17", "example.org") == 200
        assert await world.status("acct_17") == 200
        assert await world.status("shadow") == 200


def test_examples_ask_where_the_service_listens() -> None:
    kong = yaml.safe_load((EXAMPLES / "kong" / "kong.yaml").read_text())
    assert kong["_format_version"] == "3.0"
    (plugin,) = kong["services"][0]["plugins"]
    assert plugin["name"] == "pre-function"
    assert f'"http://{OPTIONS["listen"]}/check"' in plugin["config"]["access"][0]
    envoy = (EXAMPLES / "envoy" / "envoy.yaml").read_text()
    assert re.search(rf"uri: http://{re.escape(str(OPTIONS['listen']))}\n", envoy)
