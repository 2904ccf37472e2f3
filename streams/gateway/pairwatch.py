"""pairwatch's own format: the request contract as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from models.request import Request
from streams.codec import MESSAGE_BYTES_MAX, InvalidRequest, decode_request, decode_requests
from streams.gateway.format import BadRecord, Reader
from streams.settings import Gateway


class RequestLines:
    """Reads request events as they stand; the operator's rules have no part in it."""

    line_bytes_max = MESSAGE_BYTES_MAX

    def reader(self, _gateway: Gateway, arrived_s: float) -> Reader:
        """Return what reads a line."""

        def read(line: bytes, _position: str) -> Iterable[Request | BadRecord]:
            try:
                return (decode_request(line, arrived_s),)
            except InvalidRequest as error:
                return (BadRecord(error, line),)

        return read

    def read_usual(self, lines: Sequence[bytes], arrived_s: float) -> list[Request] | None:
        """Return the requests that lines hold, `None` where one of them is unusual."""
        return decode_requests(lines, arrived_s)


FORMAT = RequestLines()
