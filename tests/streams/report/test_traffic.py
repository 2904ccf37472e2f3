"""Traffic over time fits into bounded space and loses nothing of its sum."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.request import Request
from streams.gateway.read import BadLine, LoggedRequest
from streams.report.traffic import BUCKETS_MAX, Traffic, traffic_of
from tests.models.traffic import MIDNIGHT_S, request, views

DAY_S = 86_400


def logged(requests: list[Request]) -> list[LoggedRequest | BadLine]:
    return [LoggedRequest(each, "log", number) for number, each in enumerate(requests, start=1)]


@given(
    st.lists(
        st.floats(min_value=946_684_800, max_value=4_102_444_800, allow_nan=False),
        min_size=1,
        max_size=60,
    )
)
def test_any_times_fit_and_every_request_is_in_a_bucket_of_its_time(times: list[float]) -> None:
    traffic = Traffic()
    for number, ts in enumerate(times):
        traffic.add(request(ts=ts, request_id=f"r_{number}", pair_ids=[f"p_{number}"]))
    assert sum(traffic.requests.values()) == len(times)
    assert sum(traffic.new_pairs.values()) == pytest.approx(len(times), rel=0.1)
    assert (traffic.end_s - traffic.start_s) / traffic.width_s <= BUCKETS_MAX
    assert traffic.start_s <= min(times)
    assert max(times) < traffic.end_s


def test_an_hour_is_shown_minute_by_minute() -> None:
    traffic = Traffic()
    for each in views("a", MIDNIGHT_S, 30.0, (f"p_{n}" for n in range(120))):
        traffic.add(each)
    assert traffic.width_s == 60
    assert list(traffic.requests.values()) == [2] * 60


def test_a_repeated_request_and_a_pair_seen_before_count_once() -> None:
    traffic = Traffic()
    for each in [request(request_id="r", pair_ids=["p", "q"])] * 3:
        traffic.add(each)
    traffic.add(request(ts=MIDNIGHT_S + 1, pair_ids=["q"]))
    assert sum(traffic.requests.values()) == 2
    assert round(sum(traffic.new_pairs.values())) == 2


@pytest.mark.parametrize(
    "told",
    [{"owner_id": "a"}, {"action": "generate"}, {"status": 403}],
)
def test_own_pairs_and_refused_ones_are_requests_but_no_pairs_of_others(
    told: dict[str, object],
) -> None:
    traffic = Traffic()
    traffic.add(request("a", pair_ids=["p"], **told))
    assert sum(traffic.requests.values()) == 1
    assert sum(traffic.new_pairs.values()) == 0


def test_of_a_log_only_the_account_s_own_requests_are_taken() -> None:
    log = logged([request("a"), request("b"), request("a", ts=MIDNIGHT_S + 1)])
    log.append(BadLine("bad-json", "", "log", 4, b"{"))
    traffic = traffic_of("account", "a", log, lambda: None)
    assert traffic is not None
    assert sum(traffic.requests.values()) == 2
    assert traffic_of("account", "c", log, lambda: None) is None


def test_to_a_group_belongs_who_carries_its_link() -> None:
    log = logged(
        [
            request("a", links={"org": "x.example:1"}),
            request("b", links={"org": "x.example:1", "device": "d"}),
            request("c", links={"org": "other"}),
            request("x.example:1"),
        ]
    )
    traffic = traffic_of("group", "org:x.example:1", log, lambda: None)
    assert traffic is not None
    assert sum(traffic.requests.values()) == 2
