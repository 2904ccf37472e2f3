"""A decision is one line that a person can read and nobody can forge."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import Decision
from streams.render import SHOWN_CHARS_MAX, describe, moment, printable, styled
from streams.schemas import load

EXAMPLE = msgspec.convert(load("decision")["examples"][0], Decision)


def changed(**changes: Any) -> Decision:
    return msgspec.structs.replace(EXAMPLE, **changes)


def test_a_line_says_when_what_whom_why_how_much_until_when_and_that_it_is_simulated() -> None:
    words = "2024-03-02 20:10:00Z throttle 0.5/min acct_17 catalogue-sweep 4,120 pairs for 1 h"
    assert " ".join(describe(EXAMPLE).split()) == f"{words} simulated"


def test_a_decision_that_is_meant_has_no_mark() -> None:
    assert describe(changed(simulated=False)).endswith("for 1 h")


@pytest.mark.parametrize(
    ("expires_at", "duration"),
    [
        ("2024-03-02T20:10:30.000Z", "for 30 s"),
        ("2024-03-02T20:40:00.000Z", "for 30 min"),
        ("2024-03-03T20:10:00.000Z", "for 1 d"),
        ("2024-03-02T21:40:00.000Z", "for 1.5 h"),
        ("2024-03-02T20:10:00.000Z", "for 0 s"),
        (None, "pairs"),
    ],
)
def test_the_duration_is_in_the_unit_that_a_person_would_use(
    expires_at: str | None, duration: str
) -> None:
    assert describe(changed(expires_at=expires_at, simulated=False)).endswith(duration)


def test_lines_of_ordinary_decisions_stand_in_columns() -> None:
    lines = [
        describe(changed(simulated=True, action=action, limit_per_minute=limit, value=value))
        for action, limit, value in [
            ("throttle", 10.5, "acct_17"),
            ("ban", None, "a"),
            ("review", None, "org:example.com"),
        ]
    ]
    assert len({line.index("4,120 pairs") for line in lines}) == 1
    assert len({line.index("simulated") for line in lines}) == 1


def test_colours_say_nothing_that_the_words_do_not() -> None:
    assert styled(EXAMPLE).plain == describe(EXAMPLE)


@pytest.mark.parametrize(
    "forged",
    [
        "a\n2024-03-02 20:10:00Z  ban  acct_2",
        "a\x1b[2K\x1b[1A",
        "a\x9b2K",
        "a\u202egnirts",
        "a\u2028b",
        "\u05d0\u05d1",
        "a  ban  acct_2",
        '"quoted"',
        "back\\slash",
        "",
    ],
)
def test_an_id_that_could_pass_for_something_else_is_quoted_and_escaped(forged: str) -> None:
    shown = printable(forged)
    assert shown.isascii()
    assert shown.isprintable()
    assert shown[0] == shown[-1] == '"'
    assert msgspec.json.decode(shown) == forged


@given(value=st.text(min_size=1, max_size=128), scenario=st.text(max_size=40))
def test_no_decision_can_forge_a_line_or_colour_it(value: str, scenario: str) -> None:
    line = describe(changed(value=value, scenario=scenario))
    assert line.isascii()
    assert line.isprintable()
    assert line.startswith("2024-03-02 20:10:00Z  throttle 0.5/min ")


def test_markup_in_an_id_is_text() -> None:
    assert "[red]acct[/red]" in describe(changed(value="[red]acct[/red]"))


def test_a_long_id_is_cut_so_that_the_line_stays_a_line() -> None:
    assert printable("x" * 200) == "x" * (SHOWN_CHARS_MAX - 3) + "..."
    assert printable("x" * SHOWN_CHARS_MAX) == "x" * SHOWN_CHARS_MAX


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2024-03-02T20:00:00", "0001-01-01T00:00:00+01:00"]
)
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        moment(text)
