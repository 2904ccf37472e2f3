"""How every client outside Faust reaches Kafka: from the settings to aiokafka's arguments."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from streams.errors import OperatorError
from streams.settings import Kafka

#: A broker that is there answers within milliseconds; an operator waits this long for one line.
CONNECT_TIMEOUT_S = 10.0
#: A password is a line; more than this is the wrong file.
PASSWORD_BYTES_MAX = 4096
#: Tokens carry claims and a signature; some hold the groups that somebody is in.
TOKEN_BYTES_MAX = 16 * 1024

# Where nobody has configured logging, aiokafka's complaints would stand beside our one line.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


class _Client(Protocol):
    """What aiokafka's consumer, producer and admin client share."""

    async def start(self) -> None: ...


_C = TypeVar("_C", bound=_Client)


def client_arguments(kafka: Kafka) -> dict[str, Any]:
    """Return the arguments with which any aiokafka client reaches these brokers.

    Raises
    ------
    OperatorError
        A certificate, key, password or token file that can't be read.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": kafka.brokers.split(","),
        "security_protocol": kafka.security,
        "ssl_context": ssl_context(kafka),
    }
    if kafka.sasl_token_file is not None:
        arguments |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_oauth_token_provider": TokenFile(kafka.sasl_token_file),
        }
    elif kafka.sasl_mechanism is not None:
        arguments |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": sasl_password(kafka),
        }
    return arguments


def ssl_context(kafka: Kafka) -> ssl.SSLContext | None:
    """Return the TLS context, `None` where `kafka.security` has no TLS.

    Raises
    ------
    OperatorError
        A certificate or key that can't be read.
    """
    if not kafka.security.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_cafile)
    except OSError as error:
        raise OperatorError(f"kafka.ssl_cafile: {kafka.ssl_cafile}: {_why(error)}") from None
    context.check_hostname = kafka.ssl_check_hostname
    if kafka.ssl_certfile is not None:
        password = kafka.ssl_key_password
        try:
            context.load_cert_chain(
                kafka.ssl_certfile,
                kafka.ssl_keyfile,
                # Without one OpenSSL would ask on the terminal and wait for ever.
                password.reveal() if password is not None else "",
            )
        except OSError as error:
            where = f"{kafka.ssl_certfile} with {kafka.ssl_keyfile or 'the key in the same file'}"
            raise OperatorError(f"kafka.ssl_certfile: {where}: {_why(error)}") from None
    return context


def sasl_password(kafka: Kafka) -> str | None:
    """Return the SASL password itself, `None` where `kafka.security` has no SASL.

    Raises
    ------
    OperatorError
        `kafka.sasl_password_file` can't be read or holds no password.
    """
    if kafka.sasl_password is not None:
        return kafka.sasl_password.reveal()
    if kafka.sasl_password_file is None:
        return None
    return _read_secret("kafka.sasl_password_file", kafka.sasl_password_file, PASSWORD_BYTES_MAX)


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]
    """Gives brokers the token that stands in `kafka.sasl_token_file` when a connection opens.

    Parameters
    ----------
    path
        Where it stands.

    Raises
    ------
    OperatorError
        The file can't be read or holds no token.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._read()

    async def token(self) -> str:
        """Return the token as it stands there now."""
        return self._read()

    def _read(self) -> str:
        return _read_secret("kafka.sasl_token_file", self._path, TOKEN_BYTES_MAX)


def _read_secret(setting: str, path: str, bytes_max: int) -> str:
    where = f"{setting}: {path}"
    try:
        with Path(path).open("rb") as file:
            secret = file.read(bytes_max + 1).decode().strip("\r\n")
    except OSError as error:
        raise OperatorError(f"{where}: {_why(error)}") from None
    except UnicodeDecodeError:
        raise OperatorError(f"{where}: this is not UTF-8 text") from None
    if not 0 < len(secret) <= bytes_max:
        raise OperatorError(f"{where}: expected 1 to {bytes_max} bytes")
    return secret


@asynccontextmanager
async def running(client: _C, kafka: Kafka) -> AsyncIterator[_C]:
    """Start an aiokafka client and stop it at the end, in bounded time.

    Raises
    ------
    OperatorError
        No broker answers, or none lets this client in.
    """
    stop = getattr(client, "stop", None) or client.close  # type: ignore[attr-defined]
    logger, complaints = logging.getLogger("aiokafka"), _LastComplaint(logging.WARNING)
    logger.addHandler(complaints)
    logger.propagate = False  # the error says it, in one line
    try:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await client.start()
        except (KafkaError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                why = f"no answer within {CONNECT_TIMEOUT_S:g} s"
            else:
                why = complaints.text or str(error)
            raise OperatorError(
                f"no Kafka broker at {kafka.brokers} can be used over {kafka.security}: {why}"
            ) from None
        finally:
            logger.propagate = True
            logger.removeHandler(complaints)
        yield client
    finally:
        await stop()


class _LastComplaint(logging.Handler):
    """Remembers why the last broker was given up: aiokafka logs it and raises without it."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def _why(error: OSError) -> str:
    return error.strerror or str(error)
