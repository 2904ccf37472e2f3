"""Log files become requests in order, each with the place where it stands."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streams.codec import MESSAGE_BYTES_MAX
from streams.errors import OperatorError
from streams.gateway import FORMATS
from streams.gateway.files import Progress
from streams.gateway.read import BadLine, LoggedRequest, read_requests
from streams.settings import Gateway, Settings

NOW_S = 1_709_500_000.0
#: The second of March 2024.
START_S = 1_709_337_600.0


def line(second: int, path: str = "/images/7") -> str:
    return (
        f"203.0.113.7 - - [02/Mar/2024:20:00:{second:02} +0000] "
        f'"GET {path} HTTP/1.1" 200 10 "-" "ua"\n'
    )


def write(path: Path, *lines: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(lines))
    return str(path)


def read(*paths: str, format_name: str = "combined") -> list[LoggedRequest | BadLine]:
    return list(read_requests(paths, format_name, Settings(), NOW_S))


def ids(lines: list[LoggedRequest | BadLine]) -> list[str]:
    return [found.request.request_id for found in lines if isinstance(found, LoggedRequest)]


def test_every_request_comes_with_the_place_where_it_stands(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", line(1), "\n", " \r\n", line(2))
    assert [found[1:] for found in read(path)] == [(path, 1), (path, 4)]


def test_several_files_are_one_log_put_in_order(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a.log", line(3), line(1)),
        write(tmp_path / "b.log", line(2), line(0)),
    ]
    assert ids(read(*paths)) == ["b.log:2", "a.log:2", "b.log:1", "a.log:1"]


def test_identical_lines_are_distinct_requests(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", line(1), line(1))
    assert ids(read(path)) == ["access.log:1", "access.log:2"]


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [write(tmp_path / folder / "access.log", line(1)) for folder in "ab"]
    assert ids(read(*paths)) == ["access.log:1", "access.log#2:1"]


def test_a_copy_in_another_folder_gives_the_same_requests(tmp_path: Path) -> None:
    one = read(write(tmp_path / "a" / "access.log", line(2), line(1)))
    other = read(write(tmp_path / "b" / "access.log", line(2), line(1)))
    assert [found[0] for found in one] == [found[0] for found in other]


@pytest.mark.parametrize("format_name", FORMATS)
def test_an_over_long_line_is_one_bad_line_and_reading_goes_on(
    tmp_path: Path, format_name: str
) -> None:
    bytes_max = FORMATS[format_name].line_bytes_max
    path = write(tmp_path / "log", "x" * (bytes_max + 2), "\n", "?\n")
    first, second = read(path, format_name=format_name)
    assert isinstance(first, BadLine)
    assert isinstance(second, BadLine)
    assert (first.reason, first.line, first.path) == ("too-large", 1, path)
    assert len(first.original) == bytes_max + 1 > MESSAGE_BYTES_MAX
    assert (second.line, second.original) == (2, b"?")


def test_what_is_unusual_changes_nothing_for_the_lines_around_it(tmp_path: Path) -> None:
    # Text as a time is read leniently; the rest is no request, or no line.
    unusual = {40: "\n", 130: "{not json\n", 300: "[]\n", 450: request_line("2024-03-03T00:00:00Z")}
    lines = [unusual.get(n, request_line(START_S + n)) for n in range(600)]
    found = read(write(tmp_path / "requests.jsonl", *lines), format_name="pairwatch")
    bad = [(one.reason, one.line) for one in found if isinstance(one, BadLine)]
    assert bad == [("bad-json", 131), ("wrong-type", 301)]
    told = [(one.line, one.request.ts) for one in found if isinstance(one, LoggedRequest)]
    expected = [(n + 1, START_S + n) for n in range(600) if n not in unusual]
    assert told == [*expected, (451, START_S + 86_400)]


def request_line(ts: float | str) -> str:
    request = {"ts": ts, "request_id": str(ts), "account_id": "ann", "action": "view"}
    return msgspec.json.encode(request).decode() + "\n"


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(OperatorError, match="'combine'; there are: alb, cloudflare, combined"):
        read_requests([], "combine", Settings(), NOW_S)


def test_what_the_operator_must_mend_is_said_before_anything_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "access.log", line(1))
    with pytest.raises(OperatorError, match="gone: No such file"):
        read_requests([path, str(tmp_path / "gone")], "combined", Settings(), NOW_S)
    settings = Settings(gateway=Gateway(account_field="nobody"))
    with pytest.raises(OperatorError, match="account_field"):
        read_requests([path], "combined", settings, NOW_S)


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, line(1), line(2)) for name in ("a.log", "b.log")]
    progress = Progress.of(paths)
    assert len(list(read_requests(paths, "combined", Settings(), NOW_S, progress))) == 4
    assert progress.bytes_read == progress.bytes_total
