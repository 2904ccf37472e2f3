"""Brokers that let in only whom they know: workers get in, others don't, and no secret is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.request import Request
from streams.errors import OperatorError
from streams.settings import Settings
from streams.settings_reader import Secret
from streams.topics import create
from tests.brokers.choice import settings_for
from tests.brokers.secured import PASSWORD, USER, SecuredKafka, secured_kafka
from tests.faults.processes import listening
from tests.integration.workers import START_S, Worker, caught_up, produce, worker

pytestmark = [pytest.mark.integration, pytest.mark.kafka]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    secured = secured_kafka(tmp_path_factory.mktemp("secured"))
    try:
        secured.cluster.start()
        yield secured
    finally:
        secured.cluster.stop()


def settings_of(secured: SecuredKafka, directory: Path, way: str) -> Settings:
    """Return settings that get in by one of the ways there are."""
    token = directory / "token"
    token.write_text(secured.token() + "\n")
    scram = {"sasl_username": USER, "sasl_password": Secret(PASSWORD)}
    tls = {"ssl_cafile": secured.cafile}
    listener, more = {
        "TLS": ("TLS", {"security": "SSL", **tls}),
        "SCRAM-SHA-512": ("SCRAM", {"security": "SASL_SSL", **scram, **tls}),
        "SCRAM without TLS": (
            "SCRAMPLAIN",
            {"security": "SASL_PLAINTEXT", **scram, "allow_plaintext_sasl": True},
        ),
        "OAUTHBEARER": (
            "OAUTH",
            {"security": "SASL_SSL", "sasl_token_file": str(token), **tls},
        ),
    }[way]
    if "SASL" in str(more["security"]):
        more["sasl_mechanism"] = "SCRAM-SHA-512" if way == "SCRAM without TLS" else way
    settings = settings_for(secured.cluster, directory)
    return altered(settings, brokers=secured.address(listener), **more)


def altered(settings: Settings, **kafka: Any) -> Settings:
    return msgspec.structs.replace(settings, kafka=msgspec.structs.replace(settings.kafka, **kafka))


def assert_no_secret_told(running: Worker, token: str) -> None:
    for secret in (PASSWORD, token, token.rpartition(".")[2]):
        assert secret not in running.said


WAYS = ["TLS", "SCRAM-SHA-512", "SCRAM without TLS", "OAUTHBEARER"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_worker_gets_in_and_does_its_work(
    secured: SecuredKafka, tmp_path: Path, way: str
) -> None:
    settings = settings_of(secured, tmp_path, way)
    await create(settings)
    with worker(settings, tmp_path) as running:
        await produce(settings, [Request(START_S + n, f"r{n}", "ann", "view") for n in range(20)])
        await caught_up(settings, 20, running)
        await running.stop()
    assert "Traceback" not in running.said
    assert_no_secret_told(running, (tmp_path / "token").read_text().strip())


@pytest.mark.parametrize(
    ("way", "change"),
    [
        ("TLS", {"ssl_cafile": None}),
        ("TLS", {"security": "PLAINTEXT", "ssl_cafile": None}),
        ("SCRAM-SHA-512", {"sasl_password": Secret("wrong horse")}),
        ("SCRAM-SHA-512", {"sasl_username": "somebody"}),
        ("OAUTHBEARER", {"sasl_token_file": "expired"}),
        ("OAUTHBEARER", {"sasl_token_file": "forged"}),
        ("OAUTHBEARER", {"sasl_token_file": "for others"}),
    ],
    ids=lambda told: told if isinstance(told, str) else " ".join(map(str, told.values())),
)
async def test_whoever_is_not_known_is_told_so_in_one_line(
    secured: SecuredKafka, tmp_path: Path, way: str, change: dict[str, Any]
) -> None:
    token = secured.token()
    head, claims, signature = token.split(".")
    (tmp_path / "expired").write_text(secured.token(lasts_s=-50))
    (tmp_path / "for others").write_text(secured.token(audience="mail"))
    (tmp_path / "forged").write_text(f"{head}.{claims}.{signature[::-1]}")
    if "sasl_token_file" in change:
        change = {"sasl_token_file": str(tmp_path / change["sasl_token_file"])}
    settings = altered(settings_of(secured, tmp_path, way), **change)
    with pytest.raises(OperatorError, match=r"brokers? at 127.0.0.1:\d+") as told:
        await create(settings)
    with worker(settings, tmp_path) as refused:
        assert await refused.ended() == 2, refused.said
    assert refused.said.splitlines()[-1].startswith("pairwatch: ")
    assert "Traceback" not in refused.said
    for text in (str(told.value), refused.said):
        for secret in (PASSWORD, "wrong horse", signature, signature[::-1]):
            assert secret not in text


async def test_a_token_that_is_replaced_in_its_file_is_used_from_then_on(
    secured: SecuredKafka, tmp_path: Path
) -> None:
    settings = settings_of(secured, tmp_path, "OAUTHBEARER")
    await create(settings)
    (tmp_path / "token").write_text(secured.token(lasts_s=-50))
    with pytest.raises(OperatorError):
        await create(settings)
    (tmp_path / "token").write_text(secured.token())
    assert {report.status for report in await create(settings)} == {"ok"}


async def test_nothing_listens_beyond_loopback(secured: SecuredKafka, tmp_path: Path) -> None:
    settings = settings_of(secured, tmp_path, "TLS")
    await create(settings)
    with worker(settings, tmp_path) as running:
        await running.ready()
        addresses = listening(running)
        await running.stop()
    assert addresses == {("127.0.0.1", int(running.settings.metrics.listen.rpartition(":")[2]))}
