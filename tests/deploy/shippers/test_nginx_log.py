"""A real nginx writes, as the example tells it, the lines that the transforms are tried on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from streams.embedded import free_port
from tests.deploy.container.tools import DEPLOY
from tests.deploy.enforcement.programs import program, running
from tests.deploy.shippers.lines import nginx

CONF = DEPLOY / "shippers" / "nginx" / "pairwatch-log.conf"
_WRITTEN_TIMEOUT_S = 30.0


class Gateway:
    """nginx before an application that tells which pairs it returns."""

    def __init__(self, port: int, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = log

    async def line(self) -> dict[str, Any]:
        """Return the one line of its log."""
        async with asyncio.timeout(_WRITTEN_TIMEOUT_S):
            while not self._log.exists() or not self._log.read_text().endswith("\n"):  # noqa: ASYNC110 - another program writes it
                await asyncio.sleep(0.01)
        (line,) = self._log.read_text().splitlines()
        parsed: dict[str, Any] = json.loads(line)
        return parsed


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    binary = program("nginx", "nginx")
    port, application = free_port(), free_port()
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf = tmp_path / "nginx.conf"
    conf.write_text(
        f"""
        pid {tmp_path}/nginx.pid;
        events {{ worker_connections 64; }}
        http {{
            {temporary}
            include {CONF};
            server {{
                listen 127.0.0.1:{application};
                access_log off;
                location / {{
                    add_header X-Pair-Ids p1,p2;
                    add_header X-Pair-Owner acct_9;
                    return 200 pairs;
                }}
            }}
            server {{
                listen 127.0.0.1:{port};
                access_log {tmp_path}/pairwatch.log pairwatch;
                proxy_hide_header X-Pair-Ids;
                proxy_hide_header X-Pair-Owner;
                location / {{ proxy_pass http://127.0.0.1:{application}; }}
            }}
        }}
        """
    )
    arguments = [binary, "-p", str(tmp_path), "-c", str(conf), "-e", str(tmp_path / "error.log")]
    with running([*arguments, "-g", "daemon off;"], tmp_path / "output.log", port):
        yield Gateway(port, tmp_path / "pairwatch.log")


async def test_it_tells_all_that_the_transforms_read(gateway: Gateway) -> None:
    headers = {"X-Account-Id": 'acct "17"', "X-Account-Org": "h1", "X-Account-Payment": "h2"}
    headers |= {"X-JA4": "t13d", "X-ASN": "64500"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.url}/images?q=cats", headers=headers) as answer,
    ):
        assert answer.status == 200
        assert not {"X-Pair-Ids", "X-Pair-Owner"} & {*answer.headers}
    line = await gateway.line()
    assert line.keys() == nginx().keys()
    assert [type(value) for value in line.values()] == [type(value) for value in nginx().values()]
    told = nginx(
        account_id='acct "17"',
        org="h1",
        payment="h2",
        path="/images",
        pair_ids="p1,p2",
        owner_id="acct_9",
        remote_addr="127.0.0.1",
        ja4="t13d",
        asn="64500",
    )
    of_the_moment = {"msec", "request_id", "request_time", "body_bytes_sent", "user_agent"}
    assert {name: line[name] for name in told.keys() - of_the_moment} == {
        name: told[name] for name in told.keys() - of_the_moment
    }
    assert len(line["request_id"]) == 32


async def test_what_customers_search_for_is_not_kept(gateway: Gateway) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.url}/search?q=secret") as answer,
    ):
        assert answer.status == 200
    assert "secret" not in json.dumps(await gateway.line())
