"""What a log format is: how to split a line into records, and to read a record's entry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from models.request import Request
from streams.codec import MESSAGE_BYTES_MAX, InvalidRequest
from streams.errors import OperatorError
from streams.gateway.entry import Fields, LogEntry
from streams.gateway.rules import Interpreter
from streams.settings import Gateway


class BadRecord(NamedTuple):
    """A record that is no request, with the bytes that were to be one."""

    error: InvalidRequest
    original: bytes


#: Reads one line: its bytes, and its position for requests that have no id of their own.
Reader = Callable[[bytes, str], Iterable[Request | BadRecord]]


class Format(Protocol):
    """A format that `replay` can read.

    Attributes
    ----------
    line_bytes_max
        Longer lines are refused as `too-large`.
    """

    @property
    def line_bytes_max(self) -> int: ...

    def reader(self, gateway: Gateway, arrived_s: float) -> Reader:
        """Return what reads a line under these settings; `OperatorError` if they don't fit."""
        ...

    def read_usual(self, lines: Sequence[bytes], arrived_s: float) -> list[Request] | None:
        """Return the request that each line holds, as `reader` reads it under any settings.

        `None` where it must look at each of them: always, or where one is unusual.
        """
        ...


class LogFormat(NamedTuple):
    """A gateway's own log format.

    Parameters
    ----------
    split
        Line to records; most formats have one in a line.
    entry
        Record to what it says. Both raise `InvalidRequest`, and nothing else, for bad input.
    header_fields
        Request header to the fields that may hold it; none if the format has no such header.
    field_names
        All the fields there are; `None` where the operator chooses them.
    line_bytes_max
        As in `Format`.
    """

    split: Callable[[bytes], list[Fields]]
    entry: Callable[[Fields], LogEntry]
    header_fields: Callable[[str], tuple[str, ...]]
    field_names: tuple[str, ...] | None = None
    line_bytes_max: int = MESSAGE_BYTES_MAX

    def reader(self, gateway: Gateway, arrived_s: float) -> Reader:
        """Return what reads a line by the operator's rules.

        Raises
        ------
        OperatorError
            The account stands where this format has nothing.
        """
        interpreter = Interpreter(gateway, self._account_fields(gateway), arrived_s)

        def read(line: bytes, position: str) -> Iterator[Request | BadRecord]:
            try:
                records = self.split(line)
            except InvalidRequest as error:
                yield BadRecord(error, line)
                return
            for index, fields in enumerate(records):
                place = position if len(records) == 1 else f"{position}:{index + 1}"
                try:
                    request = interpreter.request(self.entry(fields), fields, place)
                except InvalidRequest as error:
                    # Of a batch in one line only the record itself, not the batch each time.
                    whole = len(records) == 1
                    yield BadRecord(error, line if whole else msgspec.json.encode(fields))
                else:
                    yield request

        return read

    def read_usual(self, _lines: Sequence[bytes], _arrived_s: float) -> None:
        """Each line is looked at: what it says depends on the operator's rules."""
        return

    def _account_fields(self, gateway: Gateway) -> tuple[str, ...]:
        fields: tuple[str, ...] = ()
        if gateway.account_field:
            if self.field_names is not None and gateway.account_field not in self.field_names:
                raise OperatorError(
                    f"gateway.account_field: this log format has no field {gateway.account_field!r}"
                    f"; there are: {', '.join(self.field_names)}"
                )
            fields += (gateway.account_field,)
        if gateway.account_header:
            found = self.header_fields(gateway.account_header)
            if not found:
                raise OperatorError(
                    "gateway.account_header: this log format does not carry the header "
                    f"{gateway.account_header!r}"
                )
            fields += found
        return fields
