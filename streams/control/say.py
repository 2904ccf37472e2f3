"""Writing to the control topic: one message, signed, and on record before anybody relies on it."""

from __future__ import annotations

import asyncio
import secrets
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.notices import Control
from streams import settings
from streams.consume import open_log
from streams.control.messages import AnyControl, RefusedControl, decode, encode
from streams.control.signing import MAKE_A_KEY, Key, load_keys, sign
from streams.errors import OperatorError
from streams.kafka import client_arguments, running
from streams.settings import Settings

#: A leader's election takes some ten seconds.
ACKNOWLEDGE_TIMEOUT_S = 30.0
#: Order holds within one partition only, so there is one; brokers that made the topic themselves
#: may have made more.
_PARTITION = 0


class Place(NamedTuple):
    """Where a message stands in Kafka."""

    topic: str
    partition: int
    offset: int


def signing_key(told: settings.Control) -> Key | None:
    """Return the key to sign with; none where unsigned messages are accepted.

    Raises
    ------
    OperatorError
        There is none, or it can't be read.
    """
    keys = load_keys(told)
    if keys:
        return keys[0]
    if told.accept_unsigned:
        return None
    raise OperatorError(
        "there is no key to sign with: set control.keys_file (or control.key, in the environment "
        "PAIRWATCH_CONTROL__KEY) to a key that the workers have too; "
        f"`{MAKE_A_KEY}` makes one"
    )


def signed(message: AnyControl, key: Key | None) -> AnyControl:
    """Return the message as it is sent, if a worker would understand it.

    Raises
    ------
    OperatorError
        A field is out of bounds.
    """
    try:
        whole = message if key is None else sign(message, key, secrets.token_hex(16))
        decode(encode(whole))
    except RefusedControl as error:  # its code is for those who count what was refused
        raise OperatorError(error.detail) from None
    except ValueError as error:  # bytes from the command line that are no text
        raise OperatorError(str(error)) from None
    return whole


async def say(message: Control, told: Settings) -> Place:
    """Write a message to the control topic and wait until Kafka has it.

    Raises
    ------
    OperatorError
        There is no such topic, no broker answers, or none acknowledges the message.
    """
    topic = told.topics.control
    async with open_log(told.kafka, topic):  # unlike a producer, it creates none
        pass
    producer = AIOKafkaProducer(
        **client_arguments(told.kafka),
        acks="all",
        request_timeout_ms=int(ACKNOWLEDGE_TIMEOUT_S * 1_000),
    )
    async with running(producer, told.kafka):
        try:
            async with asyncio.timeout(ACKNOWLEDGE_TIMEOUT_S):
                sent = await producer.send_and_wait(
                    topic, encode(message), key=message.id.encode(), partition=_PARTITION
                )
        except (KafkaError, TimeoutError) as error:
            raise OperatorError(
                f"{topic} at {told.kafka.brokers} has not acknowledged the message ({error!r}); "
                "it may have arrived: look with `pairwatch audit` before you say it again"
            ) from None
    return Place(topic, _PARTITION, sent.offset)
