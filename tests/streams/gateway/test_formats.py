"""Each format's sample log becomes the requests that its gateway meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.request import Request
from streams.codec import REASONS
from streams.errors import OperatorError
from streams.gateway import FORMATS
from streams.gateway.entry import last_hop, without_port
from streams.gateway.format import BadRecord
from streams.gateway.read import BadLine, LoggedRequest, read_requests
from streams.settings import Gateway, Settings

SAMPLES = Path(__file__).parent / "samples"
T0_S = 1_709_409_600
NOW_S = T0_S + 86_400
JA4 = "t13d1516h2_8daaf6152771_b186095e22b6"
PAIR = ["/images/9"]


def sample(name: str) -> Path:
    (path,) = SAMPLES.glob(f"{name}.*")
    return path


def read(name: str, gateway: Gateway | None = None) -> tuple[list[Request], list[BadLine]]:
    lines = list(
        read_requests([str(sample(name))], name, Settings(gateway=gateway or Gateway()), NOW_S)
    )
    requests = [line.request for line in lines if isinstance(line, LoggedRequest)]
    return requests, [line for line in lines if isinstance(line, BadLine)]


def request(second: float, line: str, ip: str, **told: Any) -> Request:
    """What an anonymous request at `second` is unless told otherwise."""
    defaults: dict[str, Any] = {
        "request_id": line,
        "account_id": ip,
        "action": "other",
        "ip": ip,
    }
    return Request(ts=T0_S + second, **{**defaults, **told})


def test_every_format_has_a_sample_and_every_sample_a_format() -> None:
    assert {path.stem for path in SAMPLES.iterdir()} == set(FORMATS)


def test_pairwatch() -> None:
    requests, bad = read("pairwatch")
    assert [(r.request_id, r.ts, r.pair_ids) for r in requests] == [
        ("req_1", T0_S + 0.25, ["pair_9"]),
        ("req_2", T0_S + 1, ["pair_1", "pair_2"]),
    ]
    assert [(line.line, line.reason) for line in bad] == [(3, "out-of-range")]


def test_combined() -> None:
    requests, bad = read("combined")
    here = "combined.log"
    agent = "Mozilla/5.0 (X11; Linux x86_64)"
    view: dict[str, Any] = {"action": "view", "user_agent": agent}
    assert requests == [
        request(0, f"{here}:1", "203.0.113.7", **view, pair_ids=PAIR, bytes=48_211),
        request(
            1,
            f"{here}:2",
            "2001:db8::1",
            status=201,
            bytes=310,
            user_agent='say "hi" "there" \\o/',
        ),
        request(2, f"{here}:3", "203.0.113.8", status=404),
        request(3, f"{here}:4", "198.51.100.9", status=400, bytes=157),
        request(4, f"{here}:5", "198.51.100.9", status=408),
        request(5, f"{here}:6", "203.0.113.9", action="view", pair_ids=["/images/11"], bytes=10),
        request(
            6,
            f"{here}:7",
            "203.0.113.9",
            action="view",
            pair_ids=["/images/a b"],
            status=304,
            user_agent="ua",
        ),
    ]
    assert [(line.line, line.reason) for line in bad] == [(8, "bad-line"), (9, "bad-line")]


def test_nginx() -> None:
    requests, bad = read("nginx")
    assert requests == [
        request(
            0.25,
            "81cd24c5c46d4c1aa0205dd8001cdba6",
            "203.0.113.7",
            action="view",
            pair_ids=PAIR,
            bytes=48_211,
            duration_ms=31.0,
            user_agent="Mozilla/5.0",
        ),
        request(1, "nginx.jsonl:2", "2001:db8::1", status=404),
    ]
    assert [(line.line, line.reason) for line in bad] == [(3, "missing-field")]


def test_envoy() -> None:
    requests, bad = read("envoy")
    assert requests == [
        request(
            0.25,
            "4a2f0d0e-7c41-9e55-8d0c-0d9c4b3c5e11",
            "203.0.113.7",
            action="view",
            pair_ids=PAIR,
            bytes=48_211,
            duration_ms=31.0,
            user_agent="Mozilla/5.0",
        ),
        request(1, "b", "203.0.113.8", status=0, duration_ms=5.0),
    ]
    assert [(line.line, line.reason) for line in bad] == [(3, "wrong-type")]


def test_kong_one_by_one_and_in_batches() -> None:
    requests, bad = read("kong")
    assert requests == [
        request(
            0.25,
            "2f6946328ffc4946b8c9120704a4a155",
            "203.0.113.7",
            action="view",
            pair_ids=PAIR,
            bytes=48_211,
            duration_ms=31.0,
            user_agent="Mozilla/5.0",
        ),
        request(1, "kong.jsonl:2:1", "2001:db8::1", status=404, user_agent="first"),
    ]
    assert [(line.line, line.reason) for line in bad] == [(2, "wrong-type")]
    assert b"many" in bad[0].original
    assert b"/images/10" not in bad[0].original


def test_cloudflare() -> None:
    requests, bad = read("cloudflare")
    assert requests == [
        request(
            0,
            "85e3f1c2a9b7d4e0",
            "203.0.113.7",
            action="view",
            pair_ids=PAIR,
            bytes=48_211,
            duration_ms=1_000.0,
            user_agent="Mozilla/5.0",
            ja4=JA4,
            asn=64_496,
        ),
        request(1.25, "85e3f1c2a9b7d4e1", "2001:db8::1", status=0),
    ]
    assert [(line.line, line.reason) for line in bad] == [(3, "wrong-type")]


def test_alb() -> None:
    requests, bad = read("alb")
    assert requests == [
        request(
            0.25,
            "Root=1-65e37f40-36f99ba1e5e34df6a4d8b7ab",
            "203.0.113.7",
            action="view",
            pair_ids=PAIR,
            bytes=48_211,
            duration_ms=31.0,
            user_agent="Mozilla/5.0 (X11)",
        ),
        request(1, "alb.log:2", "2001:db8::1", status=400, bytes=366, user_agent='a "b"'),
    ]
    assert [(line.line, line.reason) for line in bad] == [(3, "bad-line")]


def test_traefik() -> None:
    requests, bad = read("traefik")
    assert requests == [
        request(
            0.25,
            "traefik.jsonl:1",
            "203.0.113.7",
            action="view",
            pair_ids=PAIR,
            bytes=48_211,
            duration_ms=31.5,
            user_agent="Mozilla/5.0",
        ),
        request(1, "traefik.jsonl:2", "2001:db8::1", status=404, bytes=19),
    ]
    assert [(line.line, line.reason) for line in bad] == [(3, "missing-field")]


def test_otel_exported_and_flat() -> None:
    requests, bad = read("otel")
    view: dict[str, Any] = {"action": "view"}
    assert requests == [
        request(
            0.25,
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "203.0.113.7",
            **view,
            pair_ids=PAIR,
            bytes=48_211,
            duration_ms=31.5,
            user_agent="Mozilla/5.0",
        ),
        request(1, "otel.jsonl:1:2", "2001:db8::1", status=404),
        request(2, "otel.jsonl:2", "203.0.113.8", **view, pair_ids=["/images/11"]),
        request(3, "otel.jsonl:3", "203.0.113.8", **view, pair_ids=["/images/12"]),
    ]
    assert [(line.line, line.reason) for line in bad] == [(1, "missing-field")]
    assert b"listening" in bad[0].original


def test_ecs() -> None:
    requests, bad = read("ecs")
    assert requests == [
        request(
            0.25,
            "ev_1",
            "203.0.113.7",
            action="view",
            pair_ids=PAIR,
            bytes=48_211,
            duration_ms=31.5,
            user_agent="Mozilla/5.0",
            asn=64_496,
        ),
        request(1, "ecs.jsonl:2", "2001:db8::1", status=404),
    ]
    assert [(line.line, line.reason) for line in bad] == [(3, "wrong-type")]


HEADER_FORMATS = ["cloudflare", "ecs", "envoy", "kong", "nginx", "otel", "traefik"]


@pytest.mark.parametrize("name", HEADER_FORMATS)
def test_the_account_may_stand_in_a_header(name: str) -> None:
    requests, _ = read(name, Gateway(account_header="X-Account"))
    assert requests[0].account_id == "acct_17"
    assert requests[1].account_id == requests[1].ip


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("combined", "remote_user"),
        ("nginx", "remote_user"),
        ("envoy", "x_account"),
        ("kong", "consumer.username"),
        ("traefik", "ClientUsername"),
        ("ecs", "user.name"),
    ],
)
def test_the_account_may_stand_in_a_field(name: str, field: str) -> None:
    requests, _ = read(name, Gateway(account_field=field))
    assert requests[0].account_id == "acct_17"
    assert requests[1].account_id == requests[1].ip


@pytest.mark.parametrize("name", ["alb", "combined"])
def test_an_account_that_a_text_format_can_not_carry_is_refused(name: str) -> None:
    with pytest.raises(OperatorError, match=r"account_header.*X-Account"):
        read(name, Gateway(account_header="X-Account"))
    with pytest.raises(OperatorError, match=r"account_field.*'acount'.*user_agent"):
        read(name, Gateway(account_field="acount"))


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("192.0.2.1:443", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[", None),
        (":443", None),
        (None, None),
    ],
)
def test_an_address_is_taken_without_its_port(address: str | None, host: str | None) -> None:
    assert without_port(address) == host


@pytest.mark.parametrize(
    ("forwarded_for", "address"),
    [("203.0.113.7", "203.0.113.7"), ("forged, 203.0.113.7", "203.0.113.7"), ("x, ", None)],
)
def test_of_the_forwarding_hops_only_the_last_is_believed(
    forwarded_for: str, address: str | None
) -> None:
    assert last_hop(forwarded_for) == address


def outcomes(name: str, line: bytes) -> list[Request | BadRecord]:
    return list(FORMATS[name].reader(Gateway(), NOW_S)(line, "log:1"))


def holds(outcome: Request | BadRecord) -> bool:
    if isinstance(outcome, BadRecord):
        return outcome.error.reason in REASONS
    return bool(outcome.request_id) and bool(outcome.account_id)


@pytest.mark.parametrize("name", FORMATS)
@given(line=st.binary(max_size=400))
def test_any_line_ends_as_requests_or_bad_records(name: str, line: bytes) -> None:
    assert all(holds(outcome) for outcome in outcomes(name, line))


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=200)
@given(data=st.data())
def test_a_damaged_line_ends_as_requests_or_bad_records(name: str, data: st.DataObject) -> None:
    lines = sample(name).read_bytes().splitlines()
    line = bytearray(data.draw(st.sampled_from(lines)))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(line)))
        end = data.draw(st.integers(start, min(start + 6, len(line))))
        replacement = st.binary(max_size=6) | st.sampled_from([b"null", b"-1", b"[]", b"{}", b'"'])
        line[start:end] = data.draw(replacement)
    assert all(holds(outcome) for outcome in outcomes(name, bytes(line)))
