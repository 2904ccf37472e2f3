"""nginx refuses whom the decisions name, exactly them, and passes everybody else."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web
from hypothesis import given
from hypothesis import strategies as st

from deploy.enforcement.nginx.sidecar import PLAIN, VALUE_CHARS_MAX, render, write
from models.decision import Decision, rfc3339
from streams.embedded import free_port
from streams.settings import Control, Policy, Settings
from streams.settings_reader import Secret
from tests.decisions import NOW_S, StateTopic, ban, decision, state_topic_of, tomorrow
from tests.deploy.enforcement.programs import EXAMPLES, Nginx, becomes, example, run_example, until
from tests.integration.test_steering import NIGHT_S, copying, pairwatch, people
from tests.integration.workers import produce, worker

# The file.


def test_the_file_names_who_is_banned_and_about_whom_to_ask() -> None:
    told = render([ban(1, "b"), decision(2, "t"), ban(1, "org:example.com", scope="group")])
    assert told == (
        '"account:b" "b ban:b-1";\n"account:t" "t ask";\n"group:org:example.com" "*";\n'
    )


def test_ids_that_differ_in_case_alone_share_a_line() -> None:
    assert render([ban(1, "Ab"), decision(1, "aB")]) == '"account:ab" "Ab ban:Ab-1,aB ask";\n'


def test_a_line_too_long_for_nginx_becomes_a_question() -> None:
    alike = ["".join(letters) for letters in _spellings("abcdefghijk")]
    told = render(ban(1, value) for value in alike)
    assert len(alike) * 10 > VALUE_CHARS_MAX
    assert told == '"account:abcdefghijk" "*";\n'


def _spellings(word: str) -> Iterator[str]:
    if not word:
        yield ""
        return
    for rest in _spellings(word[1:]):
        yield word[0] + rest
        yield word[0].upper() + rest


def test_those_that_end_last_are_kept_where_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deploy.enforcement.nginx.sidecar.LINES_MAX", 2)
    told = render(
        [
            ban(1, "soon"),
            ban(1, "endless", expires_at=None),
            ban(1, "late", expires_at=rfc3339(NOW_S + 9_999)),
        ]
    )
    assert re.findall("account:([a-z]+)", told) == ["endless", "late"]


@given(st.text(max_size=140), st.text(max_size=140), st.sampled_from(["account", "group"]))
def test_whatever_an_id_holds_nothing_but_plain_text_gets_into_the_file(
    value: str, decision_id: str, scope: Any
) -> None:
    told = render([ban(1, value, decision_id=decision_id, scope=scope)])
    assert re.fullmatch(r'("[a-z]+:[^"\\$;{}\s]+" "[^"\\$;{}]+";\n)?', told)


def test_nginx_and_the_sidecar_agree_on_what_is_plain() -> None:
    told = (EXAMPLES / "nginx" / "pairwatch-http.conf").read_text()
    assert set(re.findall(r'"~\^(\[A-Z.*?)\$"', told)) == {PLAIN.pattern}


def test_a_file_is_replaced_whole_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "decisions.map"
    for text in ("old", "new"):
        write(path, text)
        assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444


# nginx itself.


class Got(NamedTuple):
    status: int
    type: str
    retry_after: str | None
    body: Any


class World:
    """nginx before a platform that answers 200 to everything but `/forbidden`."""

    def __init__(self, nginx: Nginx, session: ClientSession, authz_port: int) -> None:
        self.nginx = nginx
        self.authz_port = authz_port
        self._session = session

    async def get(self, account_id: str, org: str = "", path: str = "/v1/images") -> Got:
        headers = {"X-Account-Id": account_id, "X-Account-Org": org}
        told = {name: value for name, value in headers.items() if value}
        async with self._session.get(self.nginx.url + path, headers=told) as answer:
            is_json = "json" in answer.content_type
            body = await answer.json(content_type=None) if is_json else await answer.text()
            retry_after = answer.headers.get("Retry-After")
            return Got(answer.status, answer.content_type, retry_after, body)

    async def answer(self, account_id: str, status: int) -> Got:
        """Wait for an answer with this status, and return it."""
        return await until(lambda: self.get(account_id), lambda got: got.status == status)

    async def status(self, account_id: str, org: str = "") -> int:
        return (await self.get(account_id, org)).status


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/forbidden":
            return web.Response(status=403, text="the platform's own")
        return web.Response(text=f"{request.method} {await request.text()}")

    platform = web.Application()
    platform.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(platform)
    await runner.setup()
    authz_port = free_port()
    try:
        site = web.TCPSite(runner, "127.0.0.1", platform_port := free_port())
        await site.start()
        nginx = Nginx(tmp_path / "nginx", platform_port, authz_port)
        # A connection of its own for each request, as from many clients.
        connector = TCPConnector(force_close=True)
        async with ClientSession(connector=connector, cookie_jar=DummyCookieJar()) as session:
            yield World(nginx, session, authz_port)
    finally:
        await runner.cleanup()


async def test_without_a_file_everybody_passes(world: World) -> None:
    world.nginx.check()
    with world.nginx.running():
        assert await world.get("acct_17") == Got(200, "text/plain", None, "GET ")
        assert await world.status("") == 200


async def test_a_banned_account_gets_403_with_the_decision_to_appeal_against(
    world: World,
) -> None:
    write(world.nginx.map, render([ban(1, "acct_17"), ban(1, "a@b.example/x+y=")]))
    with world.nginx.running():  # without any authz service
        got = await world.get("acct_17")
        assert (got.status, got.type) == (403, "application/problem+json")
        assert got.body["type"] == "urn:pairwatch:problem:banned"
        assert (got.body["status"], got.body["decision_id"]) == (403, "acct_17-1")
        assert await world.status("a@b.example/x+y=") == 403


async def test_nobody_pays_for_somebody_else_s_decision(world: World) -> None:
    write(world.nginx.map, render([ban(1, "Acct_17"), ban(2, "acct_17")]))
    with world.nginx.running():
        assert (await world.get("Acct_17")).body["decision_id"] == "Acct_17-1"
        assert (await world.get("acct_17")).body["decision_id"] == "acct_17-2"
        for account_id in (
            *("ACCT_17", "cct_17", "acct_1", "acct_17-2", "acct_17 ban:x", "*"),
            *("Acct_17 ban:Acct_17-1", "acct_17,acct_17", "account:acct_17", "$http_host"),
        ):
            assert await world.status(account_id) == 200, account_id


async def test_a_403_of_the_platform_passes_as_it_is(world: World) -> None:
    with world.nginx.running():
        got = await world.get("acct_17", path="/forbidden")
        assert (got.status, got.body) == (403, "the platform's own")


async def test_without_the_authz_service_a_throttled_account_passes(world: World) -> None:
    write(world.nginx.map, render([decision(1, "slow"), ban(1, "org:a", scope="group")]))
    with world.nginx.running():
        assert await world.status("slow") == 200
        assert await world.status("other", org="a") == 200
        assert await world.status("odd id") == 200


# nginx, the sidecar, the authz service and a broker together.


@asynccontextmanager
async def enforcing(world: World, settings: Settings, directory: Path) -> AsyncIterator[StateTopic]:
    """Run everything, until all of it knows that `known` is banned."""
    authz = ("--listen", f"127.0.0.1:{world.authz_port}", "--link", "org=X-Account-Org")
    sidecar = ("--map", str(world.nginx.map), "--reload", " ".join(world.nginx.reload_command))
    async with state_topic_of(settings) as state:
        await state.put(lasting_ban("known"))
        with (
            world.nginx.running(),
            example("authz/service.py", settings, directory, *authz, port=world.authz_port),
            example("nginx/sidecar.py", settings, directory, *sidecar, "--interval-s", "0.1"),
        ):
            await becomes(lambda: world.status("known"), 403)
            yield state


def lasting_ban(value: str, **changes: Any) -> Decision:
    return ban(1, value, expires_at=tomorrow(), **changes)


async def test_a_decision_in_kafka_blocks_a_request_until_it_is_lifted(
    world: World, settings_for_broker: Settings, tmp_path: Path
) -> None:
    async with enforcing(world, settings_for_broker, tmp_path) as state:
        assert await world.status("acct_17") == 200
        await state.put(lasting_ban("acct_17"))
        assert (await world.answer("acct_17", 403)).body["decision_id"] == "acct_17-1"
        assert await world.status("acct_18") == 200
        await state.lift(lasting_ban("acct_17"))
        await becomes(lambda: world.status("acct_17"), 200)
        assert await world.status("known") == 403


async def test_a_throttled_account_gets_429_and_is_told_when_to_come_back(
    world: World, settings_for_broker: Settings, tmp_path: Path
) -> None:
    slow = decision(1, "slow", limit_per_minute=0.1, expires_at=tomorrow())
    async with enforcing(world, settings_for_broker, tmp_path) as state:
        await state.put(slow)
        got = await world.answer("slow", 429)
        assert got.type == "application/problem+json"
        assert got.retry_after is not None
        assert 0 < int(got.retry_after) <= 600
        assert got.body["type"] == "urn:pairwatch:problem:throttled"
        assert got.body["decision_id"] == "slow-1"
        await state.lift(slow)
        await becomes(lambda: world.status("slow"), 200)


@pytest.mark.parametrize("account_id", ["zoë", 'a "b" \\ $http_host;{}', "x" * 128, "ask", "~.*"])
async def test_any_id_that_a_header_can_carry_is_enforced(
    account_id: str, world: World, settings_for_broker: Settings, tmp_path: Path
) -> None:
    async with enforcing(world, settings_for_broker, tmp_path) as state:
        await state.put(lasting_ban(account_id, decision_id="d_1"))
        assert (await world.answer(account_id, 403)).body["decision_id"] == "d_1"
        assert await world.status(account_id[:-1] + "!") == 200


async def test_a_group_s_decision_reaches_its_members(
    world: World, settings_for_broker: Settings, tmp_path: Path
) -> None:
    of_group = lasting_ban("org:example.com", scope="group")
    async with enforcing(world, settings_for_broker, tmp_path) as state:
        await state.put(of_group)
        await becomes(lambda: world.status("acct_17", "example.com"), 403)
        assert await world.status("acct_17", "Example.com") == 200
        assert await world.status("acct_17", "example.org") == 200
        assert await world.status("acct_17") == 200


async def test_where_nginx_asks_about_everybody_a_ban_needs_no_reload(
    world: World, settings_for_broker: Settings, tmp_path: Path
) -> None:
    world.nginx.ask_about_everybody()
    authz = ("--listen", f"127.0.0.1:{world.authz_port}")
    async with state_topic_of(settings_for_broker) as state:
        await state.put(lasting_ban("acct_17"))
        service = example(
            "authz/service.py", settings_for_broker, tmp_path, *authz, port=world.authz_port
        )
        with world.nginx.running(), service:
            got = await world.answer("acct_17", 403)
            assert got.body["decision_id"] == "acct_17-1"
            await state.lift(lasting_ban("acct_17"))
            await becomes(lambda: world.status("acct_17"), 200)


async def test_who_copies_is_refused_until_an_operator_releases_them(
    world: World, settings_for_broker: Settings, tmp_path: Path
) -> None:
    """All of it: requests, a worker, the decision, nginx, and the operator's command."""
    settings = msgspec.structs.replace(
        settings_for_broker,
        policy=Policy(mode="enforce", false_throttles_per_1000_account_days=20),
        control=Control(key_id="ops", key=Secret("0" * 32)),
    )
    async with enforcing(world, settings, tmp_path):
        with worker(settings, tmp_path / "worker") as running:
            assert await world.status("copier") == 200
            # Decisions run out in event time, and nginx goes by the clock: it happens just now.
            later_s = time.time() - NIGHT_S - 400
            await produce(
                settings,
                [
                    msgspec.structs.replace(one, ts=one.ts + later_s)
                    for one in [*people(), *copying("copier", NIGHT_S, 400)]
                ],
            )
            got = await until(lambda: world.get("copier"), lambda got: got.status in (403, 429))
            said = await pairwatch(settings, "explain", "copier", "--json")
            assert got.body["decision_id"] in said
            await running.handled(len(people()) + 400)
            await pairwatch(settings, "release", "account", "copier", "--why", "spoke to them")
            await world.answer("copier", 200)
            assert await world.status("known") == 403
            await running.stop()


async def test_a_reload_that_fails_is_said_and_tried_again(
    world: World, settings_for_broker: Settings, tmp_path: Path
) -> None:
    sidecar = ("--map", str(world.nginx.map), "--reload", " ".join(world.nginx.reload_command))
    async with state_topic_of(settings_for_broker) as state:
        await state.put(lasting_ban("acct_17"))
        with example("nginx/sidecar.py", settings_for_broker, tmp_path, *sidecar) as log:

            async def has_failed() -> bool:
                return "failed, nginx goes on" in log.read_text()

            await becomes(has_failed, True)
            with world.nginx.running():  # it finds the file
                assert await world.status("acct_17") == 403


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--map", "/nowhere/decisions.map"), "--map: /nowhere is no directory that can be"),
        (("--map", "decisions.map", "--reload", "nginy -s x"), "--reload: there is no program"),
    ],
)
def test_what_the_operator_must_mend_is_said_in_one_line(
    options: tuple[str, ...], error: str
) -> None:
    done = run_example("nginx/sidecar.py", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"pairwatch nginx: {error}")
    assert len(done.stderr.splitlines()) == 1
