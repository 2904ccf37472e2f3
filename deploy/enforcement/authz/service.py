"""May this account's request pass? Answers gateways over HTTP, with the decisions in force.

Speaks Envoy's ext_authz over HTTP, which Traefik's ForwardAuth and Caddy's forward_auth share
(`/check`), and nginx's auth_request (`/auth-request`). Without an account, or before the decisions
are known, everything passes: enforcement must never be what takes the platform down.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections.abc import Mapping
from typing import Literal, NamedTuple

import click
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from models.decision import Decision
from streams.decision_store import DecisionStore
from streams.errors import OperatorError
from streams.settings import load

#: Throttled subjects whose bucket is kept; 200 bytes each. The store holds as many decisions.
BUCKETS_MAX = 100_000
#: What a bucket holds: a page loads several things at once, and over a minute it is 1/6 more.
BURST_S = 10.0
#: Gateways wait a quarter of a second; nothing has a body.
BODY_BYTES_MAX = 1_024
#: Links a gateway can name, as many as a request has.
LINKS_MAX = 16

Outcome = Literal["passed", "throttled", "banned"]


class Buckets:
    """A token bucket for each throttled subject; those not asked for longest make room.

    A new bucket is full, so one that is forgotten costs a burst, never a wrong refusal.
    """

    def __init__(self, buckets_max: int = BUCKETS_MAX) -> None:
        self._buckets_max = buckets_max
        #: Tokens, and when they were counted; the one asked for last comes last.
        self._buckets: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, subject: str, limit_per_minute: float, now_s: float) -> float:
        """Take a token; return 0, or the seconds until there is one.

        Parameters
        ----------
        subject
            Whose bucket.
        limit_per_minute
            Tokens it gains in a minute, above 0 and maybe below 1.
        now_s
            Seconds of a clock that never runs backwards.
        """
        per_s = limit_per_minute / 60
        size = max(1.0, per_s * BURST_S)
        tokens, counted_s = self._buckets.pop(subject, (size, now_s))
        tokens = min(size, tokens + (now_s - counted_s) * per_s)
        # Who comes back exactly when told must not fail on a rounding error.
        passes = tokens > 1 - 1e-6
        self._buckets[subject] = (max(tokens - 1, 0.0) if passes else tokens, now_s)
        if len(self._buckets) > self._buckets_max:
            del self._buckets[next(iter(self._buckets))]
        return 0.0 if passes else (1 - tokens) / per_s


class Answer(NamedTuple):
    """What a gateway is told; `problem` is the body for the client (RFC 9457), if refused."""

    outcome: Outcome
    status: int = 200
    problem: str = ""
    retry_after_s: int | None = None


class Gate:
    """Decides on requests.

    Parameters
    ----------
    store
        The decisions in force.
    replicas
        How many services like this one share the requests; each lets its part through.
    """

    def __init__(self, store: DecisionStore, replicas: int = 1) -> None:
        self._store = store
        self._replicas = replicas
        self._buckets = Buckets()

    def check(
        self, account_id: str | None, links: Mapping[str, str], now_s: float, clock_s: float
    ) -> Answer:
        """Decide on one request.

        Parameters
        ----------
        account_id, links
            Who asks; `None` for nobody known.
        now_s
            The present moment, Unix seconds.
        clock_s
            The same on a clock that never runs backwards.
        """
        decision = self._store.applies(account_id, now_s, links) if account_id else None
        if decision is None:
            return Answer("passed")
        if decision.action == "ban" or decision.limit_per_minute is None:
            return Answer(
                "banned", 403, _problem("banned", "This account is banned", 403, decision)
            )
        limit_per_minute = decision.limit_per_minute / self._replicas
        wait_s = self._buckets.take(decision.key, limit_per_minute, clock_s)
        if wait_s == 0:
            return Answer("passed")
        problem = _problem("throttled", "This account makes too many requests", 429, decision)
        return Answer("throttled", 429, problem, math.ceil(wait_s))


def _problem(kind: str, title: str, status: int, decision: Decision) -> str:
    """Write problem details (RFC 9457), in ASCII on one line, so that a header can carry them."""
    until = f"until {decision.expires_at}" if decision.expires_at else "until further notice"
    return json.dumps(
        {
            "type": f"urn:pairwatch:problem:{kind}",
            "title": title,
            "status": status,
            "detail": f"In force {until}. Name decision_id to appeal.",
            "decision_id": decision.decision_id,
        }
    )


class _Metrics:
    """What to watch here: who is refused, and whether the decisions are fresh."""

    def __init__(self, store: DecisionStore) -> None:
        self.registry = CollectorRegistry()
        self.answers = Counter(
            "pairwatch_enforcement_answers",
            "Requests by outcome. Refusals far above what was decided: look at the headers.",
            ["outcome"],
            registry=self.registry,
        )
        lag = Gauge(
            "pairwatch_enforcement_lag_seconds",
            "How old the known decisions may be. Above a minute: Kafka can't be reached.",
            registry=self.registry,
        )
        lag.set_function(lambda: store.lag_s)
        evicted = Gauge(
            "pairwatch_enforcement_evicted",
            "Decisions dropped for want of room. Above 0: far too many are in force.",
            registry=self.registry,
        )
        evicted.set_function(lambda: store.in_force.evicted)


def application(
    store: DecisionStore, account_header: str, link_headers: Mapping[str, str], replicas: int
) -> web.Application:
    """Return the service's routes.

    Parameters
    ----------
    store
        The decisions in force; somebody else keeps it up to date.
    account_header
        The header in which the gateway names the account.
    link_headers
        Link type → the header in which the gateway names its value.
    replicas
        As `Gate` takes them.
    """
    gate, metrics = Gate(store, replicas), _Metrics(store)

    def decide(request: web.Request) -> Answer:
        headers = request.headers
        links = {kind: headers[name] for kind, name in link_headers.items() if name in headers}
        answer = gate.check(headers.get(account_header), links, time.time(), time.monotonic())
        metrics.answers.labels(answer.outcome).inc()
        return answer

    async def check(request: web.Request) -> web.Response:
        answer = decide(request)
        if answer.outcome == "passed":
            return web.Response()
        return web.Response(
            status=answer.status,
            text=answer.problem,
            content_type="application/problem+json",
            headers=_refusal_headers(answer),
        )

    async def auth_request(request: web.Request) -> web.Response:
        # nginx knows 2xx and 403 here; it makes the client's answer from the headers.
        answer = decide(request)
        if answer.outcome == "passed":
            return web.Response(status=204)
        headers = _refusal_headers(answer)
        headers |= {
            "X-Pairwatch-Status": str(answer.status),
            "X-Pairwatch-Problem": answer.problem,
        }
        return web.Response(status=403, headers=headers)

    async def live(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def ready(_: web.Request) -> web.Response:
        # Stale decisions beat none, so a lag alone never takes this service out of the way.
        if store.ready:
            return web.Response(text=f"ready, {store.lag_s:.1f} s behind\n")
        return web.Response(status=503, text="not ready: the decisions are not known yet\n")

    async def show_metrics(_: web.Request) -> web.Response:
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_route("*", "/check{path:.*}", check)
    app.router.add_route("*", "/auth-request", auth_request)
    app.router.add_get("/live", live)
    app.router.add_get("/ready", ready)
    app.router.add_get("/metrics", show_metrics)
    return app


def _refusal_headers(answer: Answer) -> dict[str, str]:
    headers = {"Cache-Control": "no-store"}
    if answer.retry_after_s is not None:
        headers["Retry-After"] = str(answer.retry_after_s)
    return headers


async def serve(store: DecisionStore, app: web.Application, listen: str) -> None:
    """Serve until cancelled, and keep the store up to date.

    Raises
    ------
    OperatorError
        The address can't be listened on.
    """
    host, _, port = listen.rpartition(":")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except (OSError, OverflowError, ValueError) as error:
            raise OperatorError(f"--listen: can't listen on {listen}: {error}") from None
        await store.follow()
    finally:
        await runner.cleanup()


def _link_headers(told: tuple[str, ...]) -> dict[str, str]:
    links = dict(each.split("=", 1) for each in told if "=" in each)
    if len(links) != len(told) or len(told) > LINKS_MAX:
        raise OperatorError(
            f"--link: expected TYPE=HEADER, each type once and at most {LINKS_MAX}, "
            f"not {' '.join(told)}"
        )
    return links


@click.command()
@click.option("--config", metavar="FILE", help="TOML settings; default: $PAIRWATCH_CONFIG.")
@click.option("--listen", default="127.0.0.1:9465", show_default=True, metavar="HOST:PORT")
@click.option("--account-header", default="X-Account-Id", show_default=True, metavar="NAME")
@click.option("--link", "links", multiple=True, metavar="TYPE=HEADER", help="As org=X-Account-Org.")
@click.option("--replicas", default=1, show_default=True, type=click.IntRange(1, 1_000))
def main(
    config: str | None, listen: str, account_header: str, links: tuple[str, ...], replicas: int
) -> None:
    """Tell gateways which requests may pass."""
    try:
        settings = load(config)
        store = DecisionStore(settings.kafka, settings.topics.decisions_state)
        app = application(store, account_header, _link_headers(links), replicas)
        asyncio.run(serve(store, app, listen))
    except OperatorError as error:
        click.echo(f"pairwatch authz: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
