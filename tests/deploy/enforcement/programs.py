"""The real programs that the examples are for, started on ports and directories of their own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
import yaml

from streams.embedded import free_port, spawn, stop
from streams.settings import Settings
from tests.deploy.container.tools import tool

T = TypeVar("T")

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "deploy" / "enforcement"
_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0
#: What nginx's Lua module is made of.
_LUA = ("ndk_http", "ngx_http_lua")


def program(name: str, package: str) -> str:
    """Return the path of a program; without it CI fails and any other run leaves the test out."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return path if path is not None else without(name, package)


def without(name: str, package: str) -> NoReturn:
    """Leave a test out for want of a program; CI fails."""
    missing = f"{name} is not installed; on Debian: apt-get install {package}"
    if os.environ.get("CI"):
        raise RuntimeError(missing)
    pytest.skip(missing)


@contextmanager
def running(arguments: list[str], log: Path, port: int | None = None) -> Iterator[None]:
    """Run a server for as long as the block lasts, from when it listens on `port`."""
    with log.open("ab") as file:
        process = spawn(arguments, file)
    try:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while port is not None and not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{arguments[0]} did not start:\n{log.read_text()[-10_000:]}")
            time.sleep(0.01)
        yield
    finally:
        stop(process, _STOP_TIMEOUT_S)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Nginx:
    """nginx with the example's configuration, only its ports and paths replaced.

    Parameters
    ----------
    directory
        Where everything goes.
    platform_port, authz_port
        Where the backend and the authz service listen.
    """

    def __init__(self, directory: Path, platform_port: int, authz_port: int) -> None:
        self._binary = program("nginx", "nginx")
        self.port = free_port()
        self.map = directory / "run" / "decisions.map"
        self.map.parent.mkdir(parents=True)
        self._directory = directory
        # Where packages would have nginx write belongs to root.
        own = f"pid {directory}/nginx.pid;\n"
        temporary = "".join(
            f"    {kind}_temp_path {directory}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        replacements = {
            "nginx.conf": [
                (r"^events ", f"{own}events "),
                (r"^http \{\n", f"http {{\n    access_log off;\n{temporary}"),
                (r"listen 8080;", f"listen 127.0.0.1:{self.port};"),
                (r"127\.0\.0\.1:9465", f"127.0.0.1:{authz_port}"),
                (r"127\.0\.0\.1:8000", f"127.0.0.1:{platform_port}"),
            ],
            "pairwatch-http.conf": [(r"/run/pairwatch/", f"{self.map.parent}/")],
            "pairwatch-server.conf": [],
            "pairwatch-location.conf": [],
        }
        for name, changes in replacements.items():
            text = (EXAMPLES / "nginx" / name).read_text()
            for pattern, replacement in changes:
                text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
                assert count, f"{name} has no {pattern}"
            (directory / name).write_text(text)

    def ask_about_everybody(self) -> None:
        """Change the configuration as the README says."""
        path = self._directory / "pairwatch-http.conf"
        text, count = re.subn(
            r'(\$pairwatch_ask \{\n    default 1;\n)    "" "";\n', r"\1", path.read_text()
        )
        assert count == 1
        path.write_text(text)

    @property
    def url(self) -> str:
        """Where clients ask."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def reload_command(self) -> list[str]:
        """What makes it read its map again."""
        return [*self._command, "-s", "reload"]

    @property
    def _command(self) -> list[str]:
        conf, log = str(self._directory / "nginx.conf"), str(self._directory / "error.log")
        return [self._binary, "-p", str(self._directory), "-c", conf, "-e", log]

    def check(self) -> None:
        """Assert that nginx takes its configuration."""
        done = subprocess.run(
            [*self._command, "-t"], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it for as long as the block lasts."""
        log = self._directory / "output.log"
        with running([*self._command, "-g", "daemon off;"], log, self.port):
            yield


class Envoy:
    """Envoy with the example's configuration, only its ports replaced.

    Parameters
    ----------
    directory
        Where everything goes.
    platform_port, authz_port
        Where the backend and the authz service listen.
    """

    def __init__(self, directory: Path, platform_port: int, authz_port: int) -> None:
        self._binary = tool("envoy")
        self.port = free_port()
        text = (EXAMPLES / "envoy" / "envoy.yaml").read_text()
        for told, ours in ((8080, self.port), (9465, authz_port), (8000, platform_port)):
            text, count = re.subn(rf"(port_value: |127\.0\.0\.1:){told}\b", rf"\g<1>{ours}", text)
            assert count, f"envoy.yaml has no port {told}"
        self._directory = directory
        directory.mkdir(parents=True)
        (directory / "envoy.yaml").write_text(text)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it for as long as the block lasts."""
        arguments = [
            *(self._binary, "-c", str(self._directory / "envoy.yaml"), "--log-level", "warn"),
            *("--disable-hot-restart", "--concurrency", "1"),
        ]
        with running(arguments, self._directory / "envoy.log", self.port):
            yield


class Kong:
    """The example's code for Kong in nginx's Lua module, which Kong is built on, too.

    Kong itself can't be installed here: its functions are stood in for.
    """

    def __init__(self, directory: Path, platform_port: int, authz_port: int) -> None:
        self._binary = program("nginx", "nginx")
        self.port = free_port()
        modules = [Path("/usr/lib/nginx/modules") / f"{name}_module.so" for name in _LUA]
        if not all(module.exists() for module in modules):
            without("nginx's Lua module", "libnginx-mod-http-lua")
        (service,) = yaml.safe_load((EXAMPLES / "kong" / "kong.yaml").read_text())["services"]
        (plugin,) = service["plugins"]
        (code,) = plugin["config"]["access"]
        code, count = re.subn(r"127\.0\.0\.1:9465", f"127.0.0.1:{authz_port}", code)
        assert count == 1
        directory.mkdir(parents=True)
        (directory / "access.lua").write_text(code)
        load = "".join(f"load_module {module};\n" for module in modules)
        temporary = "".join(
            f"{kind}_temp_path {directory}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        stand_in = Path(__file__).parent / "kong_stand_in"
        (directory / "nginx.conf").write_text(
            f"{load}pid {directory}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}"
            f'lua_package_path "{stand_in}/?.lua;;";\n'
            # As root, whose workers may not read here.
            f'init_by_lua_block {{ access = require("kong")("{directory}/access.lua") }}\n'
            f"server {{ listen 127.0.0.1:{self.port};\n"
            "location / { access_by_lua_block { access() }\n"
            f"proxy_pass {service['url'].replace(':8000', f':{platform_port}')}; }} }} }}\n"
        )
        self._directory = directory

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it for as long as the block lasts."""
        directory = self._directory
        arguments = [
            *(self._binary, "-p", str(directory), "-c", str(directory / "nginx.conf")),
            *("-e", str(directory / "error.log"), "-g", "daemon off;"),
        ]
        with running(arguments, directory / "output.log", self.port):
            yield


class RedisServer:
    """A Redis that keeps nothing on disk; it can be started again, empty."""

    def __init__(self, directory: Path) -> None:
        self._binary = program("redis-server", "redis-server")
        self._directory = directory
        self.port = free_port()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://127.0.0.1:{self.port}/0"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it for as long as the block lasts."""
        arguments = [
            *(self._binary, "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--save", "", "--appendonly", "no", "--dir", str(self._directory)),
        ]
        with running(arguments, self._directory / "redis.log", self.port):
            yield


@contextmanager
def example(
    script: str, settings: Settings, directory: Path, *options: str, port: int | None = None
) -> Iterator[Path]:
    """Run one of the examples as an operator would; yields the file with what it prints."""
    name = script.replace("/", "-")
    config = directory / f"{name}.toml"
    config.write_text(
        f'[kafka]\nbrokers = "{settings.kafka.brokers}"\n'
        f'[topics]\ndecisions = "{settings.topics.decisions}"\n'
    )
    log = directory / f"{name}.log"
    arguments = [sys.executable, str(EXAMPLES / script), "--config", str(config), *options]
    with running(arguments, log, port):
        yield log


def run_example(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one of the examples to its end, without any broker to reach."""
    return subprocess.run(
        [sys.executable, str(EXAMPLES / script), *options],
        env=os.environ | {"PAIRWATCH_KAFKA__BROKERS": "127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def becomes(ask: Callable[[], Awaitable[T]], expected: T) -> None:
    """Ask until the answer is as expected."""
    await until(ask, lambda answer: answer == expected)


async def until(ask: Callable[[], Awaitable[T]], is_so: Callable[[T], bool]) -> T:
    """Ask until the answer is such, and return that one: the next may be the old one again.

    While nginx reloads, both its old and its new processes answer.
    """
    async with asyncio.timeout(_READY_TIMEOUT_S):
        while not is_so(answer := await ask()):  # noqa: ASYNC110 - another program changes it
            await asyncio.sleep(0.01)
        return answer
