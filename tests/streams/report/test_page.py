"""The page is complete in itself, says what the case says, and can be read by everybody."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from click.testing import CliRunner, Result
from playwright.sync_api import Browser, Page, sync_playwright

from models.decision import Evidence, Reason, rfc3339
from models.notices import Overturn, Subject
from streams.commands.report import command
from streams.control.messages import encode
from streams.errors import OperatorError
from tests.decisions import NOW_S, ban, decision
from tests.models.traffic import views

#: What a person may have chosen as the name of an account, or put into a reason.
HOSTILE = (
    """</title><script>document.title='owned'</script><img src=x onerror=alert(1)>"'&`{{7*7}}"""
)


@pytest.fixture
def case(tmp_path: Path) -> list[str]:
    """The arguments of a case with two decisions, traffic, something said and linked accounts."""
    linked = msgspec.structs.replace(decision().evidence, linked_accounts=("acct_18", "acct_19"))
    made = [
        decision(1, issued_at=rfc3339(NOW_S)),
        ban(2, issued_at=rfc3339(NOW_S + 1_200), evidence=linked),
    ]
    overturn = Overturn(
        id="c_1",
        by="mira",
        why="a curator",
        issued_at=rfc3339(NOW_S + 2_400),
        subject=Subject("account", "acct_17"),
        decision_id=made[1].decision_id,
    )
    sweep = views("acct_17", NOW_S - 600, 2.0, (f"pair_{n}" for n in range(900)))
    return [
        "acct_17",
        *("--decisions", written(tmp_path / "decisions", *map(msgspec.json.encode, made))),
        *("--control", written(tmp_path / "control", encode(overturn))),
        *("--log", written(tmp_path / "log", *map(msgspec.json.encode, sweep))),
    ]


@pytest.fixture
def hostile(tmp_path: Path) -> list[str]:
    """The arguments of a case in which everything that can be text is an attack."""
    evidence = Evidence(
        window_start=rfc3339(NOW_S - 60),
        window_end=rfc3339(NOW_S),
        requests=1,
        distinct_pairs=1,
        catalogue_share=0.1,
        sample_request_ids=(HOSTILE,),
        linked_accounts=(HOSTILE,),
        source=msgspec.structs.replace(decision().evidence.source, topic=HOSTILE),
    )
    made = decision(
        1,
        HOSTILE,
        decision_id="d_1",
        issued_at=rfc3339(NOW_S),
        scenario=HOSTILE,
        reasons=(Reason(HOSTILE, 2.0, 1.0, HOSTILE, 1.0),),
        evidence=evidence,
        detector=msgspec.structs.replace(decision().detector, version=HOSTILE),
    )
    overturn = Overturn(
        id="c_1",
        by=HOSTILE[:128],
        why=HOSTILE,
        issued_at=rfc3339(NOW_S + 60),
        subject=Subject("account", HOSTILE),
        decision_id="d_1",
    )
    return [
        "d_1",
        *("--decisions", written(tmp_path / "decisions", msgspec.json.encode(made))),
        *("--control", written(tmp_path / "control", encode(overturn))),
    ]


def written(path: Path, *lines: bytes) -> str:
    path.write_bytes(b"\n".join(lines) + b"\n")
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def page_of(arguments: list[str]) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout_bytes.decode()


# The page as text.


def test_the_page_says_what_the_case_says(case: list[str]) -> None:
    text = " ".join(re.sub(r"<[^>]*>", "", page_of(case)).split())
    for told in (
        "Account acct_17",
        "Banned until 2024-03-02 21:00:00 UTC",
        "900 requests in all, at most 30 a minute",
        "4,120 distinct pairs of other people",
        "overturned as wrong by mira: a curator",
        "acct_18",
        "Signatures were not checked",
    ):
        assert told in text


def test_nothing_is_loaded_from_anywhere_and_nothing_is_run(case: list[str]) -> None:
    page = page_of(case)
    assert "<script" not in page
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"data:,"}
    assert "url(" not in page
    assert "@import" not in page


def test_no_value_becomes_markup(hostile: list[str]) -> None:
    page = page_of(hostile)
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") >= 8
    assert "49" not in re.findall(r"<h1>.*?</h1>", page)[0]


def test_without_a_log_there_is_a_page_all_the_same(case: list[str]) -> None:
    page = page_of(case[: case.index("--log")])
    assert "at each decision" in page
    assert "Requests a minute" not in page


def test_a_page_goes_to_a_file(case: list[str], tmp_path: Path) -> None:
    out = tmp_path / "case.html"
    result = run(*case, "--out", str(out))
    assert (result.exit_code, result.stdout) == (0, "")
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_file_that_can_t_be_written_is_named(case: list[str], tmp_path: Path) -> None:
    result = run(*case, "--out", str(tmp_path / "none" / "case.html"))
    assert isinstance(result.exception, OperatorError)
    assert str(tmp_path / "none" / "case.html") in str(result.exception)


def test_a_log_without_the_account_is_an_error_that_says_what_to_look_at(
    case: list[str], tmp_path: Path
) -> None:
    other = written(tmp_path / "other", msgspec.json.encode(views("b", NOW_S, 1.0, ["p"])[0]))
    result = run(*case[: case.index("--log")], "--log", other)
    assert isinstance(result.exception, OperatorError)
    assert "there is no request of account 'acct_17'" in str(result.exception)


# The page in a browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; without it CI fails, and any other run leaves these tests out."""
    program = shutil.which("chromium")
    if program is None:
        missing = "chromium is not installed; on Debian: apt-get install chromium"
        if os.environ.get("CI"):
            raise RuntimeError(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        # Chromium refuses to sandbox itself for root; it opens nothing but our own page.
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


class Shown:
    """A page that is open in a browser, and all that it has asked for or complained about."""

    def __init__(self, browser: Browser, html: str, path: Path, **context: Any) -> None:
        path.write_text(html, encoding="utf-8")
        self.page: Page = browser.new_page(**context)
        self.noise: list[str] = []
        self.page.on("console", lambda message: self.noise.append(message.text))
        self.page.on("dialog", lambda dialog: self.noise.append(dialog.message))
        self.page.on("pageerror", lambda error: self.noise.append(str(error)))
        self.requests: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("with_log", [True, False])
def test_everybody_can_read_it_in_light_and_in_dark(
    scheme: str, with_log: bool, browser: Browser, case: list[str], tmp_path: Path
) -> None:
    html = page_of(case if with_log else case[: case.index("--log")])
    shown = Shown(browser, html, tmp_path / "case.html", color_scheme=scheme)
    dark = shown.page.evaluate("getComputedStyle(document.body).backgroundColor") != (
        "rgb(255, 255, 255)"
    )
    assert dark == (scheme == "dark")
    assert shown.noise == []
    assert [url for url in shown.requests if not url.startswith("data:")] == [shown.page.url]
    found = Axe().run(shown.page)
    assert found.violations_count == 0, found.generate_report()


def test_an_attack_in_an_id_or_a_word_is_shown_and_not_run(
    browser: Browser, hostile: list[str], tmp_path: Path
) -> None:
    shown = Shown(browser, page_of(hostile), tmp_path / "case.html")
    assert shown.page.locator("h1 bdi").inner_text() == HOSTILE
    assert shown.page.title() == f"account {HOSTILE} – pairwatch"
    assert shown.page.locator("script, img").count() == 0
    assert shown.noise == []
    assert [url for url in shown.requests if not url.startswith("data:")] == [shown.page.url]


def test_a_script_that_got_in_would_not_be_run(
    browser: Browser, case: list[str], tmp_path: Path
) -> None:
    html = page_of(case).replace("</main>", "<script>document.title='owned'</script></main>")
    shown = Shown(browser, html, tmp_path / "case.html")
    assert shown.page.title() == "account acct_17 – pairwatch"
    assert any("Content Security Policy" in line for line in shown.noise)


@pytest.mark.parametrize("made", ["case", "hostile"])
def test_a_narrow_screen_needs_no_scrolling_sideways(
    made: str, browser: Browser, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    html = page_of(request.getfixturevalue(made))
    shown = Shown(browser, html, tmp_path / "case.html", viewport={"width": 320, "height": 640})
    assert shown.page.evaluate("document.documentElement.scrollWidth") == 320


def test_it_prints_on_white_and_whole_whatever_the_screen(
    browser: Browser, case: list[str], tmp_path: Path
) -> None:
    shown = Shown(
        browser,
        page_of(case),
        tmp_path / "case.html",
        color_scheme="dark",
        viewport={"width": 500, "height": 900},
    )
    shown.page.emulate_media(media="print", color_scheme="dark")
    paper = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    # What has to be scrolled to on a screen would be cut off on paper.
    cut = (
        "[...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth).length"
    )
    assert shown.page.evaluate(cut) == 0
    assert shown.page.pdf(format="A4").startswith(b"%PDF")
