"""*Is it right*: for whoever answers for the decisions, over days."""

from deploy.grafana.panels import bars, lines, number, row, spread

UID = "pairwatch-right"
TITLE = "Pairwatch: is it right"
DESCRIPTION = "Do the decisions keep to the budget, and do people agree with them?"
RANGE = "now-7d"
BY_WORKER = False


def _realised(action: str, per: int) -> dict[str, str]:
    return {
        "realised": f'{per} * pairwatch:account_days_hit:increase1d{{action="{action}"}} '
        "/ on () group_left () (pairwatch:account_days:increase1d > 0)",
        "budget": f'{per} * pairwatch:budget:max{{action="{action}"}}',
    }


def _feedback(kind: str) -> str:
    said = f'pairwatch_control_messages_total{{kind="{kind}", outcome="accepted"}}'
    return f"sum(increase({said}[$__range]))"


ROWS = [
    row(
        "Budget",
        lines(
            "Account-days with a throttle, of 1,000",
            "Over the last day, attackers among them. Well above the budget and not attackers: "
            "calibration is off, or customers do something new. The budget is "
            "policy.false_throttles_per_1000_account_days.",
            "short",
            _realised("throttle", 1_000),
        ),
        lines(
            "Account-days with a ban, of 100,000",
            "Over the last day, attackers among them. The budget is "
            "policy.false_bans_per_100000_account_days.",
            "short",
            _realised("ban", 100_000),
        ),
        lines(
            "Hit and allowed, three days",
            "Account-days hit within three days, and the most that the budget and chance "
            "explain. Above it an alert tells, unless people confirm the decisions.",
            "short",
            {
                "{{action}}": "pairwatch:account_days_hit:increase3d",
                "{{action}} allowed": "pairwatch:false_alarms:bound3d",
            },
        ),
        lines(
            "Decisions a day",
            "Throttles and bans within the last day. Twice as many as usual, or none: an alert "
            "tells.",
            "short",
            {"decisions": "pairwatch:throttles_and_bans:increase1d"},
        ),
    ),
    row(
        "What people say",
        number(
            "Confirmed",
            "Decisions that somebody found right (`pairwatch confirm`), in the span of time shown.",
            "short",
            {"confirmed": _feedback("confirm")},
        ),
        number(
            "Overturned",
            "Decisions that somebody found wrong (`pairwatch overturn`). Each is learned from.",
            "short",
            {"overturned": _feedback("overturn")},
            limits=[(1, "orange")],
        ),
        lines(
            "Leak for each decision",
            "Pairs read on the day of an account's first decision until it fell, on average. The "
            "fewer, the sooner copiers are noticed.",
            "short",
            {
                "{{scenario}}": "sum by (scenario) "
                "(increase(pairwatch_pairs_before_decision_total[$__range])) "
                "/ (sum by (scenario) (increase(pairwatch_decisions_total[$__range])) > 0)"
            },
            width=16,
        ),
    ),
    row(
        "Scores and levels",
        spread(
            "Scores of decisions",
            "How sure the detector was. Many just above the level at which a decision falls, and "
            "no confirmations: the budget buys false alarms.",
            "percentunit",
            {"{{le}}": "sum by (le) (increase(pairwatch_decision_score_bucket[$__rate_interval]))"},
        ),
        lines(
            "Median score by scenario",
            "Of the decisions in the span of time shown. A scenario whose scores sink decides on "
            "weaker and weaker grounds.",
            "percentunit",
            {
                "{{scenario}}": "histogram_quantile(0.5, sum by (scenario, le) "
                "(increase(pairwatch_decision_score_bucket[$__range])))"
            },
        ),
        lines(
            "Levels for a throttle",
            "The count of each signal from which on it asks for a throttle, as calibration has "
            "it. Levels that climb follow customers who do more; levels that climb with one "
            "account's traffic would mean that an attacker trains the detector.",
            "short",
            {"{{signal}}": 'max by (signal) (pairwatch_level{action="throttle"})'},
            logarithmic=True,
        ),
        lines(
            "Levels for a ban",
            "The count of each signal from which on it asks for a ban.",
            "short",
            {"{{signal}}": 'max by (signal) (pairwatch_level{action="ban"})'},
            logarithmic=True,
        ),
    ),
    row(
        "Shadow and enforce",
        bars(
            "Simulated and real decisions",
            "Simulated ones are for reading only. Before a scenario goes from shadow to enforce, "
            "its decisions here should have been confirmed for a week.",
            "short",
            {
                "simulated {{simulated}}: {{scenario}} {{action}}": "sum by (simulated, scenario, "
                "action) (increase(pairwatch_decisions_total[$__rate_interval]))"
            },
        ),
        lines(
            "Versions and settings",
            "Workers by version and by the hash of their settings. Two for long: a roll-out that "
            "stopped half-way.",
            "short",
            {
                "{{version}} {{config_hash}}": "count by (version, config_hash) "
                "(pairwatch_build_info)"
            },
        ),
    ),
]
