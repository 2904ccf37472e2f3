"""A setting that does not exist or does not fit stops the program, by its name and its place."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from streams.commands import main
from streams.errors import OperatorError
from streams.kafka import client_arguments, sasl_password, ssl_context
from streams.settings import Rule, Settings, load

SASL = {
    "PAIRWATCH_KAFKA__SECURITY": "SASL_SSL",
    "PAIRWATCH_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
    "PAIRWATCH_KAFKA__SASL_USERNAME": "watch",
    "PAIRWATCH_KAFKA__SASL_PASSWORD": "hunter2",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pairwatch.toml"


def test_nothing_told_is_the_contracts_defaults() -> None:
    settings = load(environ={})
    assert settings == Settings()
    assert settings.kafka.brokers == "127.0.0.1:9092"
    assert settings.policy.mode == "shadow"
    assert settings.topics.partitions == 12
    assert settings.catalogue.size is None


def test_a_file_is_read_and_the_environment_wins(file: Path) -> None:
    file.write_text('[policy]\nmode = "enforce"\n[topics]\npartitions = 3\nreplication = 1\n')
    settings = load(str(file), {"PAIRWATCH_TOPICS__PARTITIONS": "7"})
    assert settings.policy.mode == "enforce"
    assert (settings.topics.partitions, settings.topics.replication) == (7, 1)


def test_the_environment_can_name_the_file(file: Path) -> None:
    file.write_text("[catalogue]\nsize = 5\n")
    assert load(environ={"PAIRWATCH_CONFIG": str(file)}).catalogue.size == 5


def test_a_byte_order_mark_is_skipped(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[catalogue]\nsize = 5\n")
    assert load(str(file), {}).catalogue.size == 5


def test_every_kind_of_setting_can_come_from_the_environment() -> None:
    settings = load(
        environ={
            "PAIRWATCH_KAFKA__GROUP": "123",  # a text, although it reads like a number
            "PAIRWATCH_TOPICS__KEYED_BY_ACCOUNT": "true",
            "PAIRWATCH_POLICY__FALSE_THROTTLES_PER_1000_ACCOUNT_DAYS": "2",
            "PAIRWATCH_CATALOGUE__SIZE": "1000000",
            "PAIRWATCH_GATEWAY__RULES": "[{path = '/p/(?P<pair>.+)', action = 'view'}]",
            "PAIRWATCH_SCENARIOS__REQUEST_FLOOD__MODE": "off",
        }
    )
    assert settings.kafka.group == "123"
    assert settings.topics.keyed_by_account is True
    assert settings.policy.false_throttles_per_1000_account_days == 2.0
    assert settings.catalogue.size == 1_000_000
    assert settings.gateway.rules == (Rule(path="/p/(?P<pair>.+)", action="view"),)
    assert settings.scenarios["request-flood"].mode == "off"
    assert settings.detection().scenarios == {"request-flood": "off"}


def test_other_variables_are_left_alone() -> None:
    # Kubernetes sets such ones for a service called pairwatch.
    assert load(environ={"PAIRWATCH_PORT_9464_TCP": "tcp://10.0.0.1:9464"}) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "error"),
    [
        ("POLICY__MODE", "on", "policy.mode: Invalid enum value 'on'; there are: shadow, enforce"),
        ("POLICY__MOOD", "x", "there is no setting policy.mood; did you mean mode?"),
        ("POLICIES__MODE", "x", "there is no section [policies]; did you mean policy?"),
        ("POLICY_MODE", "enforce", "did you mean PAIRWATCH_POLICY__MODE?"),
        ("KAFKA__BROKERS", "kafka", "kafka.brokers: expected host:port, further ones"),
        ("TOPICS__PARTITIONS", "0", "topics.partitions: Expected `int` >= 1"),
        ("TOPICS__PARTITIONS", "1\nx = 2", "topics.partitions: Expected `int`, got `str`"),
        ("TOPICS__DECISIONS", "..", "topics.decisions: expected letters, digits"),
        ("CATALOGUE__SIZE", "many", "catalogue.size: Expected `int | null`, got `str`"),
        ("SCENARIOS__SLOW_DRIP", "off", "scenarios.slow-drip is a section, not a setting"),
        ("SCENARIOS__REQUEST_FLOOD__MODE", "of", "scenarios.request-flood.mode: Invalid enum"),
        ("KAFKA__BROKERS__FIRST", "x", "kafka.brokers is a setting, not a section"),
        (
            "GATEWAY__RULES",
            "[{path = '(', action = 'view'}]",
            "gateway.rules[0]: '(' is not a regular expression",
        ),
        ("GATEWAY__RULES", "[{path = 'x', action = 'see'}]", "gateway.rules[0].action: Invalid"),
    ],
)
def test_a_variable_that_does_not_fit_is_refused_by_both_its_names(
    variable: str, text: str, error: str
) -> None:
    with pytest.raises(OperatorError) as refused:
        load(environ={f"PAIRWATCH_{variable}": text})
    assert str(refused.value).startswith(f"PAIRWATCH_{variable}: {error}")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('[policy]\nmode = "on"', "policy.mode: Invalid enum value 'on'"),
        ("[policy]\nmood = 1", "there is no setting policy.mood; did you mean mode?"),
        ("[polcy]\nmode = 1", "there is no section [polcy]; did you mean policy?"),
        ("policy = 1", "policy: a section [policy] was expected"),
        ('[kafka]\nbrokers = ["a:1"]', "kafka.brokers: Expected `str`, got `array`"),
        ('[scenarios.x]\nmode = "off"', "there is no scenario x for [scenarios.x]; there are: "),
        ('[scenarios.x]\nmood = "off"', "there is no setting scenarios.x.mood; did you mean mode"),
        ('[topics]\ncontrol = "gateway.requests"', "topics.requests and topics.control are one"),
        ("[policy", "Expected ']'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_the_settings_name(
    file: Path, text: str, error: str
) -> None:
    file.write_text(text)
    with pytest.raises(OperatorError) as refused:
        load(str(file), {})
    assert str(refused.value).startswith(f"{file}: {error}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"none\.toml: there is no such configuration file"):
        load(str(tmp_path / "none.toml"), {})
    with pytest.raises(OperatorError, match="Is a directory"):
        load(str(tmp_path), {})
    (tmp_path / "log").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(OperatorError, match="at most 1048576 bytes"):
        load(str(tmp_path / "log"), {})


def test_a_password_is_never_shown() -> None:
    settings = load(environ=SASL)
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(msgspec.structs.asdict(settings.kafka))
    assert sasl_password(settings.kafka) == "hunter2"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"SASL_MECHANISM": None}, "kafka.sasl_mechanism must be set, as kafka.security"),
        ({"SASL_USERNAME": None}, "kafka.sasl_username must be set, as kafka.security"),
        ({"SASL_PASSWORD": None}, "one of kafka.sasl_password and kafka.sasl_password_file"),
        ({"SASL_PASSWORD_FILE": "/x"}, "one of kafka.sasl_password and kafka.sasl_password_file"),
        ({"SECURITY": "SASL_PLAINTEXT"}, "sends credentials without encryption"),
        ({"SECURITY": "SSL"}, "kafka.sasl_mechanism is set, but kafka.security = SSL ignores it"),
        ({"SSL_KEYFILE": "/x"}, "kafka.ssl_certfile must be set beside the client's key"),
        ({"SASL_MECHANISM": "GSSAPI"}, "there are: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
    ],
)
def test_credentials_that_do_not_fit_the_security_are_refused(
    change: dict[str, str | None], error: str
) -> None:
    environ = SASL | {f"PAIRWATCH_KAFKA__{name}": text for name, text in change.items()}
    with pytest.raises(OperatorError) as refused:
        load(environ={name: text for name, text in environ.items() if text is not None})
    assert error in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_plaintext_credentials_are_sent_when_asked_for() -> None:
    environ = SASL | {
        "PAIRWATCH_KAFKA__SECURITY": "SASL_PLAINTEXT",
        "PAIRWATCH_KAFKA__ALLOW_PLAINTEXT_SASL": "true",
    }
    arguments = client_arguments(load(environ=environ).kafka)
    assert arguments["sasl_plain_password"] == "hunter2"
    assert arguments["ssl_context"] is None


def test_a_password_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    environ = {name: text for name, text in SASL.items() if not name.endswith("PASSWORD")}
    kafka = load(environ=environ | {"PAIRWATCH_KAFKA__SASL_PASSWORD_FILE": str(secret)}).kafka
    with pytest.raises(OperatorError, match=r"kafka\.sasl_password_file: .*: No such file"):
        sasl_password(kafka)
    secret.write_text("hunter2\n")
    assert sasl_password(kafka) == "hunter2"
    secret.write_text("\n")
    with pytest.raises(OperatorError, match="expected 1 to 4096 bytes"):
        sasl_password(kafka)


def test_tls_checks_the_brokers_name_unless_told_otherwise(tmp_path: Path) -> None:
    checked = ssl_context(load(environ={"PAIRWATCH_KAFKA__SECURITY": "SSL"}).kafka)
    assert checked is not None
    assert checked.check_hostname
    environ = {"PAIRWATCH_KAFKA__SECURITY": "SSL", "PAIRWATCH_KAFKA__SSL_CHECK_HOSTNAME": "false"}
    unchecked = ssl_context(load(environ=environ).kafka)
    assert unchecked is not None
    assert not unchecked.check_hostname
    environ = {
        "PAIRWATCH_KAFKA__SECURITY": "SSL",
        "PAIRWATCH_KAFKA__SSL_CAFILE": str(tmp_path / "ca.pem"),
    }
    with pytest.raises(OperatorError, match=r"kafka\.ssl_cafile: .*ca\.pem: No such file"):
        ssl_context(load(environ=environ).kafka)


def test_check_config_says_what_will_happen_and_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in SASL.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("PAIRWATCH_SCENARIOS__REQUEST_FLOOD__MODE", "off")

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["check-config", *arguments])
        assert ended.value.code == 0
        told = capsys.readouterr().out
        assert "hunter2" not in told
        return told

    words = run()
    assert "Shadow mode: every decision is marked simulated" in words
    assert "with TLS and credentials as watch (SCRAM-SHA-512)" in words
    assert "catalogue.size is not set" in words
    assert "Scenario request-flood is switched off" in words
    assert json.loads(run("--json"))["kafka"]["sasl_username"] == "watch"


def test_check_config_refuses_on_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAIRWATCH_TOPICS__PARTITIONS", "none")
    with pytest.raises(SystemExit) as ended:
        main(["check-config"])
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        "pairwatch: PAIRWATCH_TOPICS__PARTITIONS: topics.partitions: Expected `int`, got `str`\n"
    )
