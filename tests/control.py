"""Control messages as tests need them, and keys to sign them with."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import strategies as st

from models.decision import rfc3339
from models.notices import Control
from models.scenarios import SCENARIOS
from streams.control.messages import decode
from streams.control.signing import Key, sign
from streams.schemas import load

NOW_S = 1_709_409_600.0
EXAMPLES: dict[str, dict[str, Any]] = {e["kind"]: e for e in load("control")["examples"]}
SECRET = "00112233445566778899aabbccddeeff"
KEY = Key("ops-2024", SECRET.encode())
OTHER_KEY = Key("ops-2025", b"ffeeddccbbaa99887766554433221100")


def said(kind: str = "release", **changes: Any) -> Control:
    """Return the schema's example of a kind, unsigned, with changes."""
    told = {name: value for name, value in EXAMPLES[kind].items() if name != "signature"}
    return decode(orjson.dumps(told | changes))


def signed(
    number: int, kind: str = "release", *, at_s: float = NOW_S, key: Key = KEY, **changes: Any
) -> Control:
    """Return one of many messages: each `number` has an id and a nonce of its own."""
    message = said(kind, **({"id": f"c_{number}", "issued_at": rfc3339(at_s)} | changes))
    return sign(message, key, f"{number:032x}")


def _text(chars_max: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=chars_max)


TIMES = st.floats(946_684_801, 253_402_300_798).map(rfc3339)
SUBJECTS = st.one_of(
    st.fixed_dictionaries({"scope": st.just("account"), "value": _text(128)}),
    st.builds(
        lambda kind, link: {"scope": "group", "value": f"{kind}:{link}"},
        _text(40).filter(lambda text: ":" not in text),
        _text(400),
    ),
)
RANGES = st.one_of(
    st.ip_addresses(v=4).map(lambda address: f"{address}/32"),
    st.ip_addresses(v=6).map(lambda address: f"{address}/128"),
).map(lambda value: {"scope": "range", "value": value})
_ABOUT = {"subject": SUBJECTS, "decision_id": _text(128)}
_FIELDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "allow": {"subject": SUBJECTS | RANGES, "expires_at": TIMES},
    "release": {"subject": SUBJECTS},
    "approve": _ABOUT
    | {
        "action": st.just("throttle"),
        "limit_per_minute": st.floats(1e-9, 1e12),
        "expires_at": TIMES,
    },
    "reject": _ABOUT,
    "confirm": _ABOUT,
    "overturn": _ABOUT,
    "mode": {
        "mode": st.sampled_from(["shadow", "enforce"]),
        "scenario": st.sampled_from([scenario.name for scenario in SCENARIOS]),
    },
    "calendar": {
        "name": _text(128),
        "starts_at": TIMES,
        "ends_at": TIMES,
        "tolerance": st.integers(1, 100) | st.floats(1, 100),
    },
}


def _of(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    who = {"id": _text(128), "by": _text(128), "why": _text(1_000), "issued_at": TIMES}
    what = {"kind": st.just(kind), "schema_version": st.just(1)}
    return st.fixed_dictionaries(what | who | _FIELDS[kind])


#: Any control message there can be, unsigned, as parsed JSON.
MESSAGES = st.sampled_from(sorted(_FIELDS)).flatmap(_of)
