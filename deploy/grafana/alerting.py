"""The alerts of `deploy/prometheus`, for whoever lets Grafana evaluate them.

They are paused: Prometheus evaluates the same rules, and nobody wants to be told twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from grafana_foundation_sdk.builders import alerting as build
from grafana_foundation_sdk.builders import expr, prometheus
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.alerting import RelativeTimeRange

#: As provisioning/datasources has it: alerts can't ask a dashboard's variable.
SOURCE_UID: Final = "pairwatch-prometheus"
_EXPRESSION: Final = dashboard.DataSourceRef(type_val="__expr__", uid="__expr__")
_INTERVAL: Final = "1m"
#: What an instant query may look back on beside its own ranges.
_BACK_S: Final = 600


def provisioning(groups: list[Mapping[str, Any]]) -> dict[str, object]:
    """Return the file that Grafana provisions alert rules from."""
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": group["name"],
                "folder": "Pairwatch",
                "interval": _INTERVAL,
                "rules": [_rule(rule) for rule in group["rules"]],
            }
            for group in groups
        ],
    }


def _rule(rule: Mapping[str, Any]) -> dict[str, object]:
    name = f"{rule['alert']} ({rule['labels']['severity']})"
    built = build.Rule(name).uid("pairwatch-" + re.sub(r"\W+", "-", name).strip("-").lower())
    built.labels(rule["labels"]).for_val(rule.get("for", "0s")).is_paused(True)
    built.annotations({key: _translated(text) for key, text in rule["annotations"].items()})
    # No series is no alert; a query that fails is one, or nobody would notice.
    built.no_data_state("OK").exec_err_state("Error")
    query = prometheus.Dataquery().expr(rule["expr"]).instant().ref_id("A")
    built.with_query(
        build.Query("A")
        .datasource_uid(SOURCE_UID)
        .relative_time_range(RelativeTimeRange(from_val=_BACK_S, to=0))
        .model(query)
    )
    built.with_query(build.Query("B").datasource_uid("__expr__").model(_any_series()))
    told = built.condition("B").build().to_json()
    # A file names the folder and the group once for all of its rules.
    return {key: value for key, value in told.items() if key not in _GIVEN_BY_GROUP}


_GIVEN_BY_GROUP: Final = ("folderUID", "orgID", "ruleGroup")


def _any_series() -> expr.TypeThreshold:
    """Fire for each series of A, as Prometheus does: its value, never below 0, says nothing."""
    above = expr.ExprTypeThresholdConditionsEvaluator().params([-1])
    above.type("gt")
    condition = expr.ExprTypeThresholdConditions().evaluator(above)
    threshold = expr.TypeThreshold().ref_id("B").expression("A").datasource(_EXPRESSION)
    return threshold.conditions([condition])


def _translated(text: str) -> str:
    """Put Grafana's name for the query's value in place of Prometheus's."""
    return text.replace("$value", "$values.A.Value")
