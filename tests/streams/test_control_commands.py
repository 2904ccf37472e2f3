"""What an operator says stands in the control topic, signed; `pairwatch audit` reads it back."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from click.testing import CliRunner, Result

from models.decision import Decision, rfc3339
from models.notices import Allow, Approve, Control, seconds
from streams import settings as settings_reader
from streams import topics
from streams.commands import CONTROL_COMMANDS, cli
from streams.commands.audit import styled
from streams.consume import Record, open_log
from streams.control import heeded
from streams.control.audit import Entry, Query, Reader
from streams.control.messages import decode, encode
from streams.control.verifier import Verifier
from streams.errors import OperatorError
from streams.kafka import client_arguments, running
from streams.settings import Settings
from tests.contract import assert_valid_control
from tests.control import KEY, NOW_S, OTHER_KEY, SECRET, said, signed
from tests.decisions import decision

ROOT = Path(__file__).parents[2]
NEW = f"ops-2025 {OTHER_KEY.secret.decode()}\n"
OLD = f"ops-2024 {SECRET}\n"
REVIEW: dict[str, Any] = {"scope": "group", "action": "review", "limit_per_minute": None}


class Office:
    """An operator's desk: the commands, and the topics that they write to and read."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, keys: Path) -> None:
        self._settings = settings
        self._producer = producer
        self._keys = keys
        self.env: dict[str, str | None] = {
            "PAIRWATCH_KAFKA__BROKERS": settings.kafka.brokers,
            "PAIRWATCH_TOPICS__DECISIONS": settings.topics.decisions,
            "PAIRWATCH_TOPICS__CONTROL": settings.topics.control,
            "PAIRWATCH_TOPICS__NOTICES": settings.topics.notices,
            "PAIRWATCH_CONTROL__KEYS_FILE": str(keys),
        }

    def set_keys(self, *lines: str) -> None:
        """Write the file of keys."""
        self._keys.write_text("".join(lines))

    async def run(self, *arguments: str) -> Result:
        """Run a command."""
        runner = CliRunner(env=self.env)
        return await asyncio.to_thread(runner.invoke, cli, arguments)

    async def say(self, *arguments: str) -> dict[str, Any]:
        """Run a command that writes, and return what it printed for a program."""
        result = await self.run(*arguments, "--why", "a reason", "--by", "mira", "--json")
        assert result.exit_code == 0, (result.output, result.exception)
        told: dict[str, Any] = orjson.loads(result.stdout)
        return told

    async def refused(self, *arguments: str) -> str:
        """Run a command that refuses, and return why."""
        result = await self.run(*arguments, "--why", "a reason")
        assert isinstance(result.exception, OperatorError), (result.output, result.exception)
        assert await self.log() == []
        return str(result.exception)

    async def audit(self, *arguments: str) -> list[dict[str, Any]]:
        """Read the audit as a program does."""
        result = await self.run("audit", "--json", *arguments)
        assert result.exit_code == 0, (result.output, result.exception)
        return [orjson.loads(line) for line in result.stdout.splitlines()]

    async def decided(self, *made: Decision) -> None:
        """Put decisions into their log."""
        for each in made:
            await self._producer.send_and_wait(
                self._settings.topics.decisions, msgspec.json.encode(each), key=each.key.encode()
            )

    async def put(self, *values: Control | bytes, at_s: float | None = None) -> None:
        """Put into the control topic what no command would."""
        for value in values:
            data = value if isinstance(value, bytes) else encode(value)
            time_ms = None if at_s is None else int(at_s * 1_000)
            await self._producer.send_and_wait(
                self._settings.topics.control, data, timestamp_ms=time_ms
            )

    async def log(self) -> list[Control]:
        """Return what stands in the control topic, as a worker would accept it."""
        environ = {name: value for name, value in self.env.items() if value is not None}
        verifier = Verifier(settings_reader.load(None, environ).control)
        messages = []
        async with open_log(self._settings.kafka, self._settings.topics.control) as log:
            async for record in log.backlog():
                message = decode(record.value or b"")
                assert verifier.check(message, record.timestamp_ms / 1_000) == "accepted"
                assert_valid_control(record.value or b"")
                assert record.key == message.id.encode()
                messages.append(message)
        return messages


@pytest.fixture
async def office_without_topics(
    settings_for_broker: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    """A desk whose topics nobody has created yet, and no worker."""
    monkeypatch.setattr(heeded, "HEEDED_TIMEOUT_S", 0.2)
    kafka = settings_for_broker.kafka
    async with running(AIOKafkaProducer(**client_arguments(kafka)), kafka) as producer:
        office = Office(settings_for_broker, producer, tmp_path / "keys")
        office.set_keys(OLD)
        yield office


@pytest.fixture
async def office(office_without_topics: Office, settings_for_broker: Settings) -> Office:
    """A desk with topics, in which tests say themselves when a message reached Kafka."""
    kafka, names = settings_for_broker.kafka, settings_for_broker.topics
    by_producer = {"message.timestamp.type": "CreateTime"}
    async with running(AIOKafkaAdminClient(**client_arguments(kafka)), kafka) as admin:
        await admin.create_topics(
            [
                NewTopic(names.decisions, 2, 1),
                NewTopic(names.notices, 2, 1),
                NewTopic(names.control, 1, 1, topic_configs=by_producer),
            ]
        )
    return office_without_topics


# Saying.


SAID: list[tuple[list[str], dict[str, Any]]] = [
    (
        ["allow", "account", "acct_17", "--until", "2034-03-09T01:00:00+01:00"],
        {
            "kind": "allow",
            "subject": {"scope": "account", "value": "acct_17"},
            "expires_at": "2034-03-09T00:00:00.000Z",
        },
    ),
    (
        ["allow", "link", "org:example.com", "--until", "2034-03-09T00:00:00Z"],
        {
            "kind": "allow",
            "subject": {"scope": "group", "value": "org:example.com"},
            "expires_at": "2034-03-09T00:00:00.000Z",
        },
    ),
    (
        ["allow", "range", "2001:DB8::/32", "--until", "2034-03-09T00:00:00Z"],
        {
            "kind": "allow",
            "subject": {"scope": "range", "value": "2001:db8::/32"},
            "expires_at": "2034-03-09T00:00:00.000Z",
        },
    ),
    (
        ["release", "account", "acct_17"],
        {"kind": "release", "subject": {"scope": "account", "value": "acct_17"}},
    ),
    (
        ["release", "link", "device:d_4"],
        {"kind": "release", "subject": {"scope": "group", "value": "device:d_4"}},
    ),
    (["mode", "enforce"], {"kind": "mode", "mode": "enforce"}),
    (
        ["mode", "shadow", "--scenario", "slow-drip"],
        {"kind": "mode", "mode": "shadow", "scenario": "slow-drip"},
    ),
    (
        [
            *["calendar", "spring contest", "--from", "2034-03-20T00:00:00Z"],
            *["--to", "2034-03-22T00:00:00Z", "--tolerance", "3"],
        ],
        {
            "kind": "calendar",
            "name": "spring contest",
            "starts_at": "2034-03-20T00:00:00.000Z",
            "ends_at": "2034-03-22T00:00:00.000Z",
            "tolerance": 3,
        },
    ),
]


async def test_what_is_said_stands_in_the_topic_signed_once_the_command_ends(
    office: Office,
) -> None:
    for offset, (arguments, what) in enumerate(SAID):
        told = await office.say(*arguments)
        assert (told["partition"], told["offset"]) == (0, offset)
        message = told["message"]
        assert what.items() <= message.items()
        assert (message["by"], message["why"]) == ("mira", "a reason")
        assert message["signature"]["key_id"] == KEY.key_id
        assert (await office.log())[offset:] == [msgspec.convert(message, Control)]


async def test_it_counts_in_the_topic_that_pairwatch_creates(
    settings_for_broker: Settings, office_without_topics: Office
) -> None:
    await topics.create(settings_for_broker)
    await office_without_topics.say("mode", "enforce")
    assert len(await office_without_topics.log()) == 1


async def test_each_message_has_an_id_and_a_nonce_of_its_own(office: Office) -> None:
    for _ in range(2):
        await office.say("release", "account", "acct_17")
    first, second = await office.log()
    assert first.id != second.id
    assert first.signature is not None
    assert second.signature is not None
    assert first.signature.nonce != second.signature.nonce


async def test_a_duration_ends_that_long_after_it_was_said(office: Office) -> None:
    await office.say("allow", "account", "acct_17", "--for", "7d")
    (message,) = await office.log()
    assert isinstance(message, Allow)
    assert seconds(message.expires_at) - message.issued_s == pytest.approx(7 * 86_400, abs=60)


async def test_many_accounts_are_released_with_one_call(office: Office) -> None:
    result = await office.run("release", "account", "a", "b", "c", "--why", "wrong pairs")
    *lines, taken_up = result.stdout.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        f"said: release account {name}" for name in "abc"
    ]
    assert taken_up.startswith("not taken up"), "no worker runs here"
    assert len(await office.log()) == 3


async def test_a_person_reads_what_was_said_and_is_named_by_their_login(office: Office) -> None:
    office.env["LOGNAME"] = "jo"
    result = await office.run("mode", "enforce", "--why", "a week without a false alarm")
    assert result.exit_code == 0
    (message,) = await office.log()
    assert message.by == "jo"
    said, taken_up = result.stdout.splitlines()
    assert said.startswith("said: mode enforce for the whole service (")
    assert said.endswith(".control[0] offset 0)")
    assert taken_up.startswith("not taken up within 0.2 s: no worker runs, or none with this key")


async def test_who_may_not_look_whether_it_is_taken_up_has_said_it_all_the_same(
    office: Office,
) -> None:
    office.env["PAIRWATCH_TOPICS__NOTICES"] = "none.such"
    result = await office.run("mode", "enforce", "--why", "a week without a false alarm")
    assert result.exit_code == 0
    said, taken_up = result.stdout.splitlines()
    assert said.startswith("said: mode enforce")
    assert taken_up.startswith("whether a worker has taken it up can't be seen: there is no topic")
    assert len(await office.log()) == 1


async def test_a_review_is_approved_and_the_operator_sees_whom_that_covers(office: Office) -> None:
    review = decision(1, "org:example.com", **REVIEW)
    evidence = msgspec.structs.replace(review.evidence, linked_accounts=("ann", "b\x1b[2K"))
    await office.decided(
        decision(1), decision(2), msgspec.structs.replace(review, evidence=evidence)
    )
    result = await office.run(
        *["approve", review.decision_id, "--action", "throttle", "--limit", "0.5"],
        *["--for", "2d", "--why", "all of them scrape"],
    )
    assert result.exit_code == 0, result.exception
    covers, line, _ = result.stdout.splitlines()
    assert covers == (
        "covers every account with link org:example.com, now and until then; "
        r'the review found 2: ann, "b\u001b[2K"'
    )
    assert line.startswith(
        "said: approve org:example.com-1 about link org:example.com: throttle to 0.5/min until "
    )
    (message,) = await office.log()
    assert isinstance(message, Approve)
    assert message.subject.key == review.key
    assert (message.decision_id, message.action) == (review.decision_id, "throttle")
    assert message.limit_per_minute == 0.5


async def test_who_approves_in_shadow_mode_is_told_that_nothing_will_be_enforced(
    office: Office,
) -> None:
    review = decision(1, "org:example.com", scenario="coordinated-sweep", **REVIEW)
    for simulated in (True, False):
        asked = msgspec.structs.replace(review, simulated=simulated, decision_id=f"d{simulated}")
        await office.decided(asked)
        result = await office.run(
            *["approve", asked.decision_id, "--action", "ban", "--for", "2d", "--why", "a team"]
        )
        notes = [line for line in result.stdout.splitlines() if line.startswith("note: ")]
        assert len(notes) == simulated
        assert all("`pairwatch mode enforce --scenario coordinated-sweep`" in n for n in notes)


async def test_a_ban_is_approved_without_a_limit(office: Office) -> None:
    review = decision(1, **(REVIEW | {"scope": "account"}))
    await office.decided(review)
    told = await office.say("approve", review.decision_id, "--action", "ban", "--for", "1h")
    assert told["message"]["action"] == "ban"
    assert "limit_per_minute" not in told["message"]
    assert msgspec.convert(told["decision"], Decision) == review


@pytest.mark.parametrize(
    ("command", "changes"),
    [("reject", REVIEW), ("confirm", {}), ("overturn", {"simulated": True})],
)
async def test_other_answers_name_the_decision_and_its_subject(
    office: Office, command: str, changes: dict[str, Any]
) -> None:
    about = decision(7, "org:example.com", **changes)
    await office.decided(decision(6), about)
    told = await office.say(command, about.decision_id)
    assert told["message"]["kind"] == command
    assert told["message"]["decision_id"] == about.decision_id
    assert told["message"]["subject"] == {"scope": about.scope, "value": about.value}
    assert len(await office.log()) == 1


@pytest.mark.parametrize(
    ("later", "note"),
    [
        (
            {"action": "ban", "limit_per_minute": None},
            "note: ban acct_17-2 has taken its place and stays as it is; answer that one to change "
            "it",
        ),
        (
            {"action": "release", "limit_per_minute": None, "expires_at": None},
            "note: it is over already",
        ),
    ],
)
async def test_who_answers_what_is_not_the_latest_is_told_what_became_of_it(
    office: Office, later: dict[str, Any], note: str
) -> None:
    # Workers that were killed may have written the first one twice.
    await office.decided(decision(1), decision(2, **later), decision(1), decision(3, "acct_18"))
    result = await office.run("overturn", "acct_17-1", "--why", "a curator")
    assert result.stdout.splitlines()[0] == note
    assert result.stdout.splitlines()[1].startswith("said: overturn acct_17-1")
    latest = await office.run("overturn", "acct_18-3", "--why", "a curator")
    assert "note" not in latest.stdout


# Refusing.


@pytest.mark.parametrize("command", ["approve", "reject", "confirm", "overturn"])
async def test_a_decision_that_does_not_exist_is_not_spoken_of(
    office: Office, command: str
) -> None:
    await office.decided(decision(1))
    more = ["--action", "ban", "--for", "1h"] if command == "approve" else []
    for name in ("acct_17", "acct_17-11", "caf\udce9"):
        why = await office.refused(command, name, *more)
        assert why.startswith("there is no decision ")
        assert why.endswith("`pairwatch decisions` lists those that there are")


@pytest.mark.parametrize(
    ("command", "action", "why"),
    [
        ("approve", "throttle", "acct_17-1 is a throttle of account acct_17, not a review; "),
        ("reject", "ban", "acct_17-1 is a ban of account acct_17, not a review; "),
        ("confirm", "review", "acct_17-1 is a review of account acct_17; `pairwatch approve` "),
        ("overturn", "review", "acct_17-1 is a review of account acct_17; `pairwatch approve` "),
        ("confirm", "release", "acct_17-1 is a release of account acct_17, neither right nor "),
        ("overturn", "release", "acct_17-1 is a release of account acct_17, neither right nor "),
    ],
)
async def test_an_answer_that_does_not_fit_the_decision_is_not_given(
    office: Office, command: str, action: str, why: str
) -> None:
    limit = 1.0 if action == "throttle" else None
    await office.decided(decision(1, action=action, limit_per_minute=limit))
    more = ["--action", "ban", "--for", "1h"] if command == "approve" else []
    assert (await office.refused(command, "acct_17-1", *more)).startswith(why)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["allow", "account", "a"], "say until when, with either --until or --for"),
        (
            ["allow", "account", "a", "--for", "1h", "--until", "2034-01-01T00:00:00Z"],
            "say until when, with either --until or --for",
        ),
        (["allow", "account", "a", "--for", "1w"], "--for: '1w' is not like 30m, 12h or 7d"),
        (["allow", "account", "a", "--until", "soon"], "--until: 'soon' is not a time like "),
        (
            ["allow", "account", "a", "--until", "9999-12-31T23:59:59-01:00"],
            "--until: '9999-12-31T23:59:59-01:00' is not a time like ",
        ),
        (["allow", "account", "a" * 129, "--for", "1h"], "subject.value: 129 char"),
        (["allow", "link", "example.com", "--for", "1h"], "subject.value: expected"),
        (["allow", "range", "0.0.0.0/0", "--for", "1h"], "0.0.0.0/0 is wider than a /8"),
        (
            ["allow", "range", "10.0.0.1/8", "--for", "1h"],
            "10.0.0.1/8 is an address in a network; say 10.0.0.0/8",
        ),
        (["release", "account", "caf\udce9"], "input contains non-UTF-8 codepoints"),
        (["mode", "enforce", "--scenario", "drip"], "scenario: there is no drip; "),
        (
            ["approve", "d", "--action", "ban", "--limit", "1", "--for", "1h"],
            "--limit: a throttle needs one, a ban has none",
        ),
        (
            ["approve", "d", "--action", "throttle", "--for", "1h"],
            "--limit: a throttle needs one, a ban has none",
        ),
        (
            ["approve", "d", "--action", "ban", "--until", "2024-01-01T00:00:00Z"],
            "--until: 2024-01-01T00:00:00.000Z has passed",
        ),
        (
            [
                *["calendar", "x", "--from", "2034-03-22T00:00:00Z"],
                *["--to", "2034-03-22T00:00:00Z", "--tolerance", "3"],
            ],
            "--to: not after --from",
        ),
        (
            [
                *["calendar", "x", "--from", "2034-03-20T00:00:00Z"],
                *["--to", "2034-03-22T00:00:00Z", "--tolerance", "0.5"],
            ],
            "tolerance: 0.5 is not 1 to 100",
        ),
    ],
)
def test_what_no_worker_would_heed_is_refused_before_a_broker_is_asked(
    arguments: list[str], why: str
) -> None:
    env = {"PAIRWATCH_KAFKA__BROKERS": "127.0.0.1:1", "PAIRWATCH_CONTROL__KEY": SECRET}
    result = CliRunner(env=env).invoke(cli, [*arguments, "--why", "a reason"])
    assert isinstance(result.exception, OperatorError)
    assert str(result.exception).startswith(why)


async def test_nothing_is_said_without_a_reason(office: Office) -> None:
    result = await office.run("release", "account", "acct_17")
    assert result.exit_code == 2
    assert "Missing option '--why'" in result.stderr


async def test_without_a_key_one_line_says_what_to_do(office: Office) -> None:
    office.env["PAIRWATCH_CONTROL__KEYS_FILE"] = None
    why = await office.refused("release", "account", "acct_17")
    assert why.startswith("there is no key to sign with: set control.keys_file (or control.key")
    assert "\n" not in why


async def test_without_a_key_messages_are_unsigned_where_that_is_switched_off(
    office: Office,
) -> None:
    office.env["PAIRWATCH_CONTROL__KEYS_FILE"] = None
    office.env["PAIRWATCH_CONTROL__ACCEPT_UNSIGNED"] = "true"
    told = await office.say("release", "account", "acct_17")
    assert "signature" not in told["message"]
    assert len(await office.log()) == 1


async def test_a_topic_that_does_not_exist_is_named_and_not_created(
    settings_for_broker: Settings, office_without_topics: Office
) -> None:
    for _ in range(2):
        result = await office_without_topics.run("mode", "shadow", "--why", "x")
        assert str(result.exception) == (
            f"there is no topic {settings_for_broker.topics.control} yet; "
            "`pairwatch topics` creates it"
        )


def test_a_broker_that_can_t_be_reached_is_one_line_and_status_2() -> None:
    done = subprocess.run(
        [
            *[sys.executable, "-c", "from streams.commands import main; main()"],
            *["release", "account", "acct_17", "--why", "x"],
        ],
        cwd=ROOT,
        env=os.environ
        | {"PAIRWATCH_KAFKA__BROKERS": "127.0.0.1:1", "PAIRWATCH_CONTROL__KEY": SECRET},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("pairwatch: no Kafka broker at 127.0.0.1:1 ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", [*CONTROL_COMMANDS, "audit"])
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "--config" in result.stdout


# Changing keys.


async def test_keys_are_changed_without_a_gap(office: Office) -> None:
    await office.say("release", "account", "a")
    # The workers learn the new key first, at the end of the file; then operators sign with it.
    office.set_keys(OLD, NEW)
    await office.say("release", "account", "b")
    office.set_keys(NEW, OLD)
    await office.say("release", "account", "c")
    said_with = [each.signature.key_id for each in await office.log() if each.signature]
    assert said_with == ["ops-2024", "ops-2024", "ops-2025"]
    # Once the old one is taken away, nothing new counts that is signed with it.
    office.set_keys(NEW)
    outcomes = [(each["outcome"], each["reason"]) for each in await office.audit()]
    assert outcomes == [("refused", "unknown-key")] * 2 + [("accepted", None)]


# The audit.


async def test_the_audit_tells_who_said_what_and_why_in_order(office: Office) -> None:
    await office.say("release", "account", "acct_17")
    await office.say("mode", "shadow")
    first, second = await office.audit()
    assert first["message"]["subject"] == {"scope": "account", "value": "acct_17"}
    assert second["message"]["mode"] == "shadow"
    for offset, entry in enumerate((first, second)):
        assert (entry["partition"], entry["offset"]) == (0, offset)
        assert (entry["message"]["by"], entry["message"]["why"]) == ("mira", "a reason")
        assert (entry["outcome"], entry["reason"], entry["detail"]) == ("accepted", None, None)
    result = await office.run("audit")
    lines = result.stdout.splitlines()
    assert [" ".join(line.split()[3:]) for line in lines] == [
        'mira release account acct_17 why: "a reason"',
        'mira mode shadow for the whole service why: "a reason"',
    ]


async def test_the_audit_marks_what_was_refused_and_what_was_repeated(office: Office) -> None:
    message = signed(1)
    forged = msgspec.structs.replace(signed(2), by="somebody else")
    await office.put(message, message, forged, said(), b"{", at_s=NOW_S)
    await office.put(signed(3), at_s=NOW_S + 3_600)
    assert [(each["outcome"], each["reason"]) for each in await office.audit()] == [
        ("accepted", None),
        ("repeated", None),
        ("refused", "bad-signature"),
        ("refused", "unsigned"),
        ("refused", "bad-json"),
        ("refused", "too-old"),
    ]
    result = await office.run("audit")
    marks = [line.partition("  refused: ")[2] for line in result.stdout.splitlines()]
    assert [mark.partition(",")[0] for mark in marks[2:]] == [
        "bad-signature",
        "unsigned",
        "bad-json",
        "too-old",
    ]
    assert marks[:2] == ["", ""]


async def test_the_audit_shows_only_what_is_asked_for(office: Office) -> None:
    whom = [("account", "a"), ("account", "b"), ("group", "org:x"), ("range", "203.0.113.0/24")]
    for number, (scope, value) in enumerate(whom):
        at_s = NOW_S + 60 * number
        subject = {"scope": scope, "value": value}
        await office.put(signed(number, "allow", at_s=at_s, subject=subject), at_s=at_s)
    await office.put(signed(4, "mode", at_s=NOW_S + 240), b"{", at_s=NOW_S + 240)

    async def offsets(*arguments: str) -> list[int]:
        return [entry["offset"] for entry in await office.audit(*arguments)]

    assert await offsets() == [0, 1, 2, 3, 4, 5]
    assert await offsets("--account", "a", "--account", "b") == [0, 1]
    assert await offsets("--link", "org:x") == [2]
    assert await offsets("--range", "203.0.113.0/255.255.255.0", "--account", "a") == [0, 3]
    assert await offsets("--since", rfc3339(NOW_S + 120)) == [2, 3, 4, 5]
    assert await offsets("--since", rfc3339(NOW_S + 60), "--account", "a") == []
    result = await office.run("audit", "--json", "--limit", "2")
    assert [orjson.loads(line)["offset"] for line in result.stdout.splitlines()] == [4, 5]
    assert result.stderr == "pairwatch: 4 older ones are not shown; see --limit\n"


async def test_the_audit_says_when_there_is_no_key_to_check_with(office: Office) -> None:
    await office.say("mode", "shadow")
    office.env["PAIRWATCH_CONTROL__KEYS_FILE"] = None
    result = await office.run("audit", "--json")
    assert orjson.loads(result.stdout)["reason"] == "unknown-key"
    assert result.stderr == (
        "pairwatch: there is no key in the settings, so no signature can be checked\n"
    )


def test_no_words_of_an_operator_reach_the_terminal_raw() -> None:
    wild = "x\x1b[2K\n\u202egnp\x07 y"
    message = said(
        "confirm",
        by=wild,
        why=wild,
        decision_id=wild,
        subject={"scope": "group", "value": f"org:{wild}"},
    )
    for each in (message, said("calendar", name=wild)):
        line = styled(Entry(0, 0, rfc3339(NOW_S), "refused", "too-old", wild[:1], each)).plain
        assert line.isascii()
        assert line.isprintable()


@pytest.mark.parametrize("time_ms", [-1, -(2**62), 2**62])
def test_no_time_that_a_producer_can_set_stops_the_audit(time_ms: int) -> None:
    reader = Reader(Verifier(settings_reader.Control()), Query())
    entry = reader.read(Record("t", 0, 0, None, b"{", time_ms))
    assert entry is not None
    assert entry.outcome == "refused"
