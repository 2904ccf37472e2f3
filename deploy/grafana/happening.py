"""*What is happening*: for whoever is on call, from the attack to the people who decide."""

from deploy.grafana.panels import FULL_WIDTH, bars, lines, number, row, states

UID = "pairwatch-happening"
TITLE = "Pairwatch: what is happening"
DESCRIPTION = "Is somebody copying the catalogue, what has been decided, and what waits for me?"
RANGE = "now-6h"
BY_WORKER = False

ROWS = [
    row(
        "Now",
        number(
            "Alerts",
            "Alerts about pairwatch that fire. Each has a runbook; below is which they are.",
            "short",
            {"alerts": 'count(ALERTS{alertstate="firing", service="pairwatch"}) or vector(0)'},
            limits=[(1, "red")],
        ),
        number(
            "Throttles and bans, 30 minutes",
            "Decisions within half an hour. A single one may be a false alarm; several are an "
            "attack, or customers who do something new.",
            "short",
            {"decisions": 'sum(pairwatch:decisions:increase30m{action=~"throttle|ban"})'},
            limits=[(0.5, "orange"), (2.5, "red")],
        ),
        number(
            "Accounts hit",
            "Share of the accounts active within the hour that got a throttle or ban. At the "
            "cap the breaker opens by itself.",
            "percentunit",
            {"hit": "pairwatch:accounts_hit:ratio"},
            limits=[(0.01, "orange"), (0.05, "red")],
        ),
        number(
            "Blast-radius breaker",
            "Open: so many accounts were hit that decisions are simulated until a person closes "
            "it. A broken upstream looks like this, and so does a very large attack.",
            "none",
            {"breaker": "max(pairwatch_breaker_open)"},
            words={0: ("closed", "green"), 1: ("open", "red")},
        ),
        number(
            "Reviews waiting",
            "Decisions that wait for a person: `pairwatch approve` or `pairwatch reject`.",
            "short",
            {"reviews": "sum(pairwatch_reviews_waiting)"},
            limits=[(1, "orange")],
        ),
        number(
            "Workers",
            "Whether every worker is ready. If not, part of the accounts is watched late or by "
            "nobody: see *is it well*.",
            "none",
            {"ready": "min(pairwatch_ready)"},
            words={0: ("not all ready", "red"), 1: ("ready", "green")},
        ),
    ),
    row(
        "Attacks",
        bars(
            "Decisions by scenario",
            "What was seen and what was asked for. Throttles are followed by bans where the "
            "account goes on.",
            "short",
            {
                "{{scenario}} {{action}}": "sum by (scenario, action) "
                "(increase(pairwatch_decisions_total[$__rate_interval]))"
            },
        ),
        states(
            "Alerts",
            "Which alerts fired when.",
            {
                "{{alertname}} {{severity}}": "max by (alertname, severity) "
                '(ALERTS{alertstate="firing", service="pairwatch"})'
            },
            {1: ("firing", "red")},
        ),
        lines(
            "Leak",
            "Pairs that accounts had read on the day of their first decision until it fell, "
            "added up over the span of time shown. What a copier takes after its throttle is "
            "the gateway's to stop.",
            "short",
            {
                "{{scenario}}": "sum by (scenario) "
                "(increase(pairwatch_pairs_before_decision_total[$__range]))"
            },
        ),
        lines(
            "From event to decision",
            "How long half of the decisions took, and 99 in a hundred, from the event's arrival "
            "in Kafka to the acknowledged decision. Seconds are promised; minutes are lag.",
            "s",
            {
                "half": "histogram_quantile(0.5, sum by (le) "
                "(increase(pairwatch_event_to_decision_seconds_bucket[$__range])))",
                "99 %": "histogram_quantile(0.99, sum by (le) "
                "(increase(pairwatch_event_to_decision_seconds_bucket[$__range])))",
            },
        ),
    ),
    row(
        "The platform",
        lines(
            "Accounts",
            "Accounts active within the hour, and those of them that were hit.",
            "short",
            {"active": "sum(pairwatch_accounts_active)", "hit": "sum(pairwatch_accounts_hit)"},
        ),
        lines(
            "Requests",
            "What the platform's customers ask for, as far as its log arrives here.",
            "reqps",
            {"requests": "sum(rate(pairwatch_events_total[$__rate_interval]))"},
            width=6,
        ),
        lines(
            "Server errors",
            "Share of requests that the platform answered with 5xx. Rising with a flood: the "
            "service suffers. Rising alone: an outage, and retries look like a flood.",
            "percentunit",
            {
                "5xx": "sum(rate(pairwatch_server_errors_total[$__rate_interval])) "
                "/ sum(rate(pairwatch_events_total[$__rate_interval]))"
            },
            width=6,
        ),
    ),
    row(
        "People",
        bars(
            "What operators said",
            "Control messages by kind. Refused ones have no valid signature, are too old, or "
            "name what does not exist; repeated ones have taken effect already.",
            "short",
            {
                "{{kind}} {{outcome}}": "sum by (kind, outcome) "
                "(increase(pairwatch_control_messages_total[$__rate_interval]))"
            },
            width=FULL_WIDTH,
        ),
    ),
]
