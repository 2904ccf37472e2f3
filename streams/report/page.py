"""The page itself: a template, a style sheet and nothing from anywhere else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from models.decision import rfc3339
from streams.case import Case
from streams.report import plots
from streams.report.plots import draw
from streams.report.traffic import Traffic
from streams.story import tell
from streams.wording import figure, time_of


def render(case: Case, traffic: Traffic | None, source: str, version: str, now_s: float) -> str:
    """Return a case as HTML.

    Whatever an id or a reason holds is text: everything is escaped, and the page's own policy
    (Content Security Policy) lets a browser run no script and load nothing.

    Parameters
    ----------
    case
        The case.
    traffic
        What the subject did, where a log has it.
    source
        Where the decisions come from.
    version
        Of pairwatch.
    now_s
        The present moment, Unix seconds.
    """
    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = _coded
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    digest = hashlib.sha256(style.encode()).digest()
    return environment.get_template("page.html.jinja").render(
        case=case,
        asked=case.asked,
        story=tell(case, now_s),
        plots=draw(case, traffic),
        frame=plots,
        source=source,
        version=version,
        now=time_of(rfc3339(now_s)),
        figure=figure,
        time_of=time_of,
        style=Markup(style),  # noqa: S704 -- our own file, byte for byte what the policy lets in
        style_hash=base64.b64encode(digest).decode(),
    )


def _coded(line: str) -> Markup:
    """Set what stands between backticks as code."""
    parts = (
        Markup("<code>{}</code>").format(part) if number % 2 else escape(part)
        for number, part in enumerate(line.split("`"))
    )
    return Markup("").join(parts)
