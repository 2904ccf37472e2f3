"""`pairwatch explain` tells a decision's story from what stands in Kafka, or in a file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner, Result

from models.decision import Decision, Reason, rfc3339
from models.groups.writing import TOGETHER
from models.notices import Allow, Approve, Confirm, Control, Overturn, Release, SetMode, Subject
from models.verdict import APPROVALS, BAN_LEVEL_OF, LEVEL_OF, REFUSED
from streams import case, topics
from streams.case import read
from streams.case_sources import from_files
from streams.commands.explain import command
from streams.control.messages import encode
from streams.control.signing import Key, sign
from streams.errors import OperatorError
from streams.settings import Settings
from streams.story import Story, tell
from tests.decisions import NOW_S, ban, decision

ACCOUNT = Subject("account", "acct_17")
HOUR_S = 3_600.0

Write = Callable[..., str]


def later(seconds: float, revision: int, **changes: Any) -> Decision:
    """Return a decision that is issued so long after `NOW_S`, for an hour."""
    times = {
        "issued_at": rfc3339(NOW_S + seconds),
        "expires_at": rfc3339(NOW_S + seconds + HOUR_S),
    }
    return decision(revision, **(times | changes))


def release(seconds: float, revision: int) -> Decision:
    return later(seconds, revision, action="release", limit_per_minute=None, expires_at=None)


def said(kind: type[Any], seconds: float, **told: Any) -> Control:
    """Return what mira said so long after `NOW_S`."""
    about = {} if kind is SetMode else {"subject": ACCOUNT}
    message: Control = kind(
        **(
            {"id": f"c_{seconds}", "by": "mira", "why": "a curator"}
            | {"issued_at": rfc3339(NOW_S + seconds)}
            | about
            | told
        )
    )
    return message


def encoded(message: Decision | Control) -> bytes:
    return msgspec.json.encode(message) if isinstance(message, Decision) else encode(message)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write messages to a file, one a line."""

    def to(name: str, *messages: Decision | Control | bytes) -> str:
        path = tmp_path / name
        lines = (each if isinstance(each, bytes) else encoded(each) for each in messages)
        path.write_bytes(b"\n".join(lines) + b"\n")
        return str(path)

    return to


def story(decisions: str, name: str, control: str | None = None, now_s: float = NOW_S) -> Story:
    return tell(read(from_files(decisions, control), name), now_s)


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(command, arguments)


# Which case.


def test_of_an_account_the_latest_decision_that_asks_for_something_is_told(write: Write) -> None:
    made = [later(0, 1), later(1, 2, value="other"), later(60, 2), release(90, 3)]
    found = read(from_files(write("d", *made), None), "acct_17")
    assert found.asked.revision == 2
    assert [each.revision for each in found.decisions] == [1, 2, 3]
    assert found.said is None


def test_a_decision_is_found_by_its_id_with_all_that_concerns_its_subject(write: Write) -> None:
    made = [later(0, 1), later(60, 2), later(1, 1, value="other"), later(120, 3)]
    found = read(from_files(write("d", *made), None), "acct_17-2")
    assert (found.value, found.asked.revision) == ("acct_17", 2)
    assert [each.revision for each in found.decisions] == [1, 2, 3]


def test_an_account_comes_before_a_group_and_a_group_before_an_id(write: Write) -> None:
    group = later(0, 1, value="org:a", scope="group", decision_id="g")
    account = later(0, 1, value="org:a", decision_id="a")
    other = later(0, 1, value="other", decision_id="org:a")
    assert read(from_files(write("d", group, account, other), None), "org:a").scope == "account"
    assert read(from_files(write("d", other, group), None), "org:a").asked.decision_id == "g"
    assert read(from_files(write("d", other), None), "org:a").value == "other"


def test_a_repeat_is_told_once_and_what_is_no_decision_is_passed_over(write: Write) -> None:
    strange = [b"", b"{", b"[]", b"\xff", b'{"value": "acct_17"}']
    no_time = later(0, 9, issued_at="yesterday")
    found = read(
        from_files(write("d", *strange, no_time, later(0, 1), later(0, 1)), None), "acct_17"
    )
    assert [each.revision for each in found.decisions] == [1]


def test_no_more_decisions_are_kept_than_can_be_told(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case, "DECISIONS_MAX", 3)
    path = write("d", *(later(n, n) for n in range(1, 7)))
    assert [each.revision for each in read(from_files(path, None), "acct_17").decisions] == [
        4,
        5,
        6,
    ]
    # One that is asked for by its id is told however old it is.
    found = read(from_files(path, None), "acct_17-2")
    assert [each.revision for each in found.decisions] == [2, 4, 5, 6]


def test_a_name_that_matches_nothing_is_an_error_that_says_what_to_do(write: Write) -> None:
    path = write("d", later(0, 1))
    result = run("nobody\x1b[2K", "--decisions", path)
    assert isinstance(result.exception, OperatorError)
    assert str(result.exception) == (
        f"{path} has no decision about 'nobody\\x1b[2K', and none with that id; "
        "is it the file that `pairwatch replay --decisions` wrote?"
    )


# What people said.


def test_what_was_said_of_the_subject_and_of_its_decisions_is_told_in_order(write: Write) -> None:
    decisions = write("d", later(0, 1), release(400, 2))
    control = write(
        "c",
        said(Overturn, 300, decision_id="acct_17-1"),
        said(Confirm, 200, decision_id="acct_17-1", subject=Subject("account", "elsewhere")),
        said(Allow, 100, expires_at=rfc3339(NOW_S + HOUR_S)),
        said(Allow, 100, expires_at=rfc3339(NOW_S + HOUR_S)),
        said(Release, 50, subject=Subject("account", "other")),
        said(SetMode, 60, mode="enforce"),
        b"{}",
    )
    events = story(decisions, "acct_17", control).events
    assert [event.what for event in events] == [
        *("throttle", "allow", "confirm", "overturn", "release")
    ]
    assert [event.kind for event in events][1:4] == ["said"] * 3
    assert events[1].words == "allowed until 2024-03-02 21:00:00 UTC by mira: a curator"
    assert events[3].words == "overturned as wrong by mira: a curator"


def test_an_approval_says_what_was_approved(write: Write) -> None:
    asked = later(0, 1, value="org:a", scope="group", action="review", limit_per_minute=None)
    approval = said(
        Approve,
        60,
        subject=Subject("group", "org:a"),
        decision_id=asked.decision_id,
        action="throttle",
        limit_per_minute=0.5,
        expires_at=rfc3339(NOW_S + HOUR_S),
    )
    told = story(write("d", asked), "org:a", write("c", approval))
    assert told.standing == "A review that waits for a person."
    assert told.events[-1].words == (
        "approved as a throttle to 0.5 requests a minute until 2024-03-02 21:00:00 UTC by mira: "
        "a curator"
    )


def test_why_a_decision_was_lifted_stands_beside_the_release(write: Write) -> None:
    why = Reason("lifted by an operator (allow, message c_1)", 1.0, 0.0, "messages", 1.0)
    lifted = msgspec.structs.replace(release(60, 2), reasons=(why,))
    told = story(write("d", later(0, 1), lifted), "acct_17")
    assert told.events[-1].words.endswith("revision 2): lifted by an operator (allow, message c_1)")
    assert told.events[0].words.endswith("revision 1)")


def test_nothing_said_and_nothing_known_are_told_apart(write: Write) -> None:
    decisions = write("d", later(0, 1))
    assert "not known" in story(decisions, "acct_17").silence
    assert story(decisions, "acct_17", write("c", b"")).silence == "Nothing has been said about it."


# The story.


@pytest.mark.parametrize(
    ("now_s", "simulated", "standing"),
    [
        (0, False, "Throttled until 2024-03-02 21:00:00 UTC; in force."),
        (HOUR_S, False, "Throttled until 2024-03-02 21:00:00 UTC; it has run out."),
        (
            0,
            True,
            "Would have been throttled until 2024-03-02 21:00:00 UTC; not run out yet. "
            "Simulated: nobody acts on it.",
        ),
    ],
)
def test_the_standing_is_that_of_the_present(
    write: Write, now_s: float, simulated: bool, standing: str
) -> None:
    path = write("d", later(0, 1, simulated=simulated))
    assert story(path, "acct_17", now_s=NOW_S + now_s).standing == standing


def test_what_was_lifted_or_replaced_is_not_said_to_be_in_force(write: Write) -> None:
    lifted = story(write("d", later(0, 1), release(60, 2)), "acct_17").standing
    assert lifted.endswith("; lifted on 2024-03-02 20:01:00 UTC.")
    replaced = story(write("d", later(0, 1), ban(2, issued_at=rfc3339(NOW_S + 60))), "acct_17-1")
    assert replaced.standing.endswith("replaced by revision 2, a ban, on 2024-03-02 20:01:00 UTC.")


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([later(0, 1)], "It is the first decision about it."),
        ([later(0, 4)], "It is revision 4; the decisions before it are no longer kept."),
        ([later(0, 1), later(1_800, 2)], "it extends a throttle that was in force."),
        (
            [later(0, 1), ban(2, issued_at=rfc3339(NOW_S + 60))],
            "It is revision 2, 1 min after the one before: it takes the place of a throttle that "
            "was in force.",
        ),
        ([later(0, 1), later(7_200, 2)], "a repetition after a throttle that had run out."),
        ([later(0, 1), release(60, 2), later(90, 3)], "a new decision after the release."),
    ],
)
def test_the_rung_is_told_by_what_came_before(
    write: Write, history: list[Decision], words: str
) -> None:
    assert any(line.endswith(words) for line in story(write("d", *history), "acct_17").rung)


def test_what_was_seen_and_what_is_usual_stand_in_figures(write: Write) -> None:
    told = story(write("d", later(0, 1)), "acct_17")
    assert "4,120 distinct pairs of other people, 0.41 % of the catalogue" in told.seen[0]
    reasons = later(0, 1).reasons
    assert [row.signal for row in told.usual] == [reason.signal for reason in reasons]
    assert told.usual[0].times == f"{reasons[0].observed / reasons[0].expected:.3g} ×"


def test_how_rare_it_is_follows_from_the_score(write: Write) -> None:
    told = story(write("d", later(0, 1, scenario="catalogue-sweep", score=0.9995)), "acct_17")
    assert "Of the days of honest accounts an estimated 0.05 % get as far." in told.rung[0]
    sure = story(write("d", later(0, 1, scenario="catalogue-sweep", score=1.0)), "acct_17")
    assert "fewer than one in a billion" in sure.rung[0]
    # Of a scenario that this version does not know nothing is claimed.
    assert "honest" not in story(write("d", later(0, 1, scenario="new")), "acct_17").rung[0]


def test_what_would_have_kept_it_away_names_the_signal_of_its_scenario(write: Write) -> None:
    reasons = (
        Reason("requests in a minute", 130.0, 5.5, "requests per minute", 0.6),
        Reason("pairs opened one by one in a minute", 126.0, 2.9, "pairs per minute", 0.4),
    )
    made = later(0, 1, scenario="catalogue-sweep", reasons=reasons)
    told = story(write("d", made), "acct_17").otherwise
    assert told[0].startswith("Staying near the usual 2.9 pairs opened one by one in a minute: ")
    again = story(write("d", made, later(1_800, 2, reasons=reasons)), "acct_17").otherwise
    assert again[0].startswith("Had it slowed down to what is usual while a throttle held")


def test_the_level_that_was_passed_is_told_and_not_taken_for_what_is_usual(write: Write) -> None:
    reasons = (
        Reason("pairs opened one by one in a minute", 126.0, 2.9, "pairs per minute", 1.0),
        Reason(
            f"{LEVEL_OF}pairs opened one by one in a minute", 126.0, 41.5, "pairs per minute", 0.0
        ),
    )
    told = story(write("d", later(0, 1, scenario="catalogue-sweep", reasons=reasons)), "acct_17")
    assert told.otherwise[0] == (
        "Staying below 41.5 pairs per minute (pairs opened one by one in a minute), where a "
        "throttle begins for this account: it got to 126."
    )
    assert len(told.usual) == 1


FAST = Reason("pairs opened one by one in a minute", 126.0, 2.9, "pairs per minute", 1.0)
BANNED_FROM = Reason(f"{BAN_LEVEL_OF}{FAST.signal}", 126.0, 60.5, "pairs per minute", 0.0)


def test_a_ban_is_told_by_its_level_and_by_the_second_kind_of_evidence(write: Write) -> None:
    flooding = Reason(f"{LEVEL_OF}requests in a minute", 900.0, 200.0, "requests per minute", 0.0)
    of_its_kind = Reason(f"{LEVEL_OF}{FAST.signal}", 126.0, 41.5, "pairs per minute", 0.0)
    refused = Reason(REFUSED, 100.0, 0.0, "requests", 0.0)
    lines = {
        flooding: "Staying below 200 requests per minute (requests in a minute), which was the "
        "second kind of evidence, throughput: it got to 900.",
        refused: "Heeding what was in force, which was the second kind of evidence: it sent 100 "
        "requests while they were refused.",
    }
    for second, line in lines.items():
        reasons = (FAST, of_its_kind, second, BANNED_FROM)
        made = ban(2, issued_at=rfc3339(NOW_S + 60), scenario="catalogue-sweep", reasons=reasons)
        told = story(write("d", later(0, 1), made), "acct_17")
        assert told.otherwise[0].startswith("Had it slowed down to what is usual while a throttle")
        assert sorted(told.otherwise[1:3]) == sorted(
            [
                "Staying below 60.5 pairs per minute (pairs opened one by one in a minute), where "
                "a ban begins for it: it got to 126.",
                line,
            ]
        )
        assert not any("41.5" in each for each in told.otherwise), "that is a throttle's"
        assert not any(row.signal.startswith((LEVEL_OF, BAN_LEVEL_OF)) for row in told.usual)


def test_a_member_that_was_banned_for_a_group_is_told_from_where_on(write: Write) -> None:
    level = Reason(f"{BAN_LEVEL_OF}evidence of a group", 81.0, 52.0, "decibans", 0.0)
    made = ban(1, scenario="coordinated-sweep", reasons=(level,))
    told = story(write("d", made), "acct_17").otherwise
    assert told[0] == (
        "Staying below 52 decibans (evidence of a group), where members of a group may be banned: "
        "it got to 81."
    )
    assert "speaks against a divided catalogue" in told[1]


def test_a_review_is_told_from_where_on_a_person_is_asked(write: Write) -> None:
    level = Reason(TOGETHER, 59.5, 40.0, "decibans", 0.3)
    asked = later(
        *(0, 1),
        scope="group",
        value="org:a",
        action="review",
        limit_per_minute=None,
        scenario="coordinated-sweep",
        reasons=(level,),
    )
    told = story(write("d", asked), "org:a").otherwise
    assert told[0] == (
        f"Staying below 40 decibans ({TOGETHER}), where a person is asked: it got to 59.5."
    )
    assert len(told) == 2


def test_who_is_covered_by_a_person_s_word_is_told_so_and_nothing_of_levels(write: Write) -> None:
    said = Reason("part of org:a, for which an operator approved this", 1.0, 0.0, APPROVALS, 1.0)
    made = ban(1, scenario="coordinated-sweep", reasons=(said,))
    [told] = story(write("d", made), "acct_17").otherwise
    assert told.startswith("A person's word: the account is covered for its link")


def test_nothing_is_claimed_of_signals_where_only_the_ladder_or_a_person_decided(
    write: Write,
) -> None:
    refused = Reason("requests sent while they were refused", 120.0, 0.0, "requests", 0.0)
    made = later(1_800, 2, scenario="catalogue-sweep", score=1.0, reasons=(refused,))
    told = story(write("d", later(0, 1), made), "acct_17")
    assert told.rung[0] == "Scenario catalogue-sweep, score 1 of 1."
    assert not any("level" in line for line in told.rung)
    assert (told.usual[0].observed, told.usual[0].times) == ("120", "")


def test_what_only_goes_with_the_reasons_is_not_compared(write: Write) -> None:
    event = Reason("tolerance during the planned event contest", 1.0, 3.0, "times", 0.0)
    assert story(write("d", later(0, 1, reasons=(event,))), "acct_17").usual[0].times == ""


@pytest.mark.parametrize("simulated", [True, False])
def test_who_could_not_know_is_not_told_to_have_ignored_it(write: Write, simulated: bool) -> None:
    made = [later(0, 1, simulated=simulated), later(60, 2)]
    advice = story(write("d", *made), "acct_17").otherwise[0]
    assert advice.startswith("Had it slowed down")
    assert ("could not know" in advice) == simulated


def test_evidence_in_decibans_is_explained(write: Write) -> None:
    reason = Reason("evidence that members divide the catalogue", 43.2, 40, "decibans", 1.0)
    made = later(0, 1, scope="group", value="org:a", action="review", reasons=(reason,))
    assert "40 ten thousand times" in story(write("d", made), "org:a").rung[1]
    assert not any("decibans" in line for line in story(write("e", later(0, 1)), "acct_17").rung)


def test_a_review_gives_no_advice_to_the_account(write: Write) -> None:
    asked = later(0, 1, action="review", limit_per_minute=None)
    assert story(write("d", asked), "acct_17").otherwise == []


# The command.


def test_the_story_is_told_section_by_section(write: Write) -> None:
    result = run("acct_17", "--decisions", write("d", later(0, 1), later(1_800, 2)))
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "account acct_17, decision acct_17-2"
    assert [line for line in lines if line and line[0] != " "][2:] == [
        "What was seen",
        "What is usual",
        "What it asks for, and why",
        "What would have kept it from happening",
        "What happened and what was said",
    ]
    assert [line[:4] for line in lines if "revision 1)" in line] == ["    "]
    assert [line[:4] for line in lines if "revision 2)" in line] == ["  > "]


def test_no_id_and_no_word_can_forge_a_line_or_colour_it(write: Write) -> None:
    forged = "a\n2024  ban\x1b[2K\u202e"
    made = later(0, 1, value=forged, reasons=(Reason(forged, 1, 1, forged, 1.0),))
    message = said(Confirm, 60, decision_id=made.decision_id, by=forged, why=forged)
    result = run(
        made.decision_id, "--decisions", write("d", made), "--control", write("c", message)
    )
    assert result.exit_code == 0
    assert all(line.isascii() and line.isprintable() for line in result.output.splitlines())
    assert not any(line.lstrip().startswith("2024  ban") for line in result.output.splitlines())


def test_json_has_the_case_and_the_story(write: Write) -> None:
    made, message = later(0, 1), said(Confirm, 60, decision_id="acct_17-1")
    result = run(
        *("acct_17", "--json", "--decisions", write("d", made), "--control", write("c", message))
    )
    told = orjson.loads(result.output)
    assert told["decision"] == orjson.loads(msgspec.json.encode(made))
    assert told["decisions"] == [told["decision"]]
    assert [each["kind"] for each in told["said"]] == ["confirm"]
    assert set(told["story"]) == {"standing", "seen", "rung", "otherwise"}
    unknown = run("acct_17", "--json", "--decisions", write("d", made))
    assert orjson.loads(unknown.output)["said"] is None


def test_control_messages_of_a_file_go_with_decisions_of_a_file(write: Write) -> None:
    result = run("acct_17", "--control", write("c", b""))
    assert isinstance(result.exception, OperatorError)
    assert "--decisions" in str(result.exception)


KEY = Key("ops", b"0123456789abcdef0123456789abcdef")


@pytest.fixture
async def environment(settings_for_broker: Settings) -> dict[str, str]:
    """Topics with two decisions about the account, and an overturn that is signed and one not."""
    settings = settings_for_broker
    await topics.create(settings)
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.brokers)
    await producer.start()
    try:
        for made in (later(0, 1), later(0, 1, value="other"), later(60, 2)):
            value = msgspec.json.encode(made)
            await producer.send_and_wait(settings.topics.decisions, value, key=made.key.encode())
        # The broker stamps what comes to the control topic, so it is said now.
        about = {"decision_id": "acct_17-2", "issued_at": rfc3339(time.time())}
        overturn = said(Overturn, 90, **about)
        forged = said(Overturn, 95, by="mallory", **about)
        for message in (sign(overturn, KEY, "0" * 32), forged, b"{"):
            value = message if isinstance(message, bytes) else encode(message)
            await producer.send_and_wait(settings.topics.control, value)
    finally:
        await producer.stop()
    return {
        "PAIRWATCH_KAFKA__BROKERS": settings.kafka.brokers,
        "PAIRWATCH_TOPICS__DECISIONS": settings.topics.decisions,
        "PAIRWATCH_TOPICS__CONTROL": settings.topics.control,
    }


@pytest.mark.parametrize("name", ["acct_17", "acct_17-2"])
async def test_a_case_is_read_from_the_topics(name: str, environment: dict[str, str]) -> None:
    signed = environment | {
        "PAIRWATCH_CONTROL__KEY_ID": KEY.key_id,
        "PAIRWATCH_CONTROL__KEY": KEY.secret.decode(),
    }
    result = await asyncio.to_thread(run, name, "--json", **signed)
    told = orjson.loads(result.stdout)
    assert told["decision"]["decision_id"] == "acct_17-2"
    assert [each["revision"] for each in told["decisions"]] == [1, 2]
    assert [(each["kind"], each["by"]) for each in told["said"]] == [("overturn", "mira")]
    assert told["doubt"] == ""


async def test_who_has_no_key_is_told_that_signatures_were_not_checked(
    environment: dict[str, str],
) -> None:
    told = (await asyncio.to_thread(run, "acct_17", **environment)).stdout
    assert "by mallory" in told
    assert "Signatures were not checked" in told


async def test_a_name_that_the_topic_does_not_have_is_an_error_that_says_what_to_do(
    environment: dict[str, str],
) -> None:
    nobody = await asyncio.to_thread(run, "nobody", **environment)
    assert isinstance(nobody.exception, OperatorError)
    assert "`pairwatch decisions` lists" in str(nobody.exception)
