"""A page of rows as one dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final, Protocol

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard

from deploy.grafana.panels import SOURCE, Panel

_TAG: Final = "pairwatch"


class Page(Protocol):
    """What a module that describes a dashboard has; see `happening`."""

    UID: str
    TITLE: str
    DESCRIPTION: str
    #: The span of time shown at first, as Grafana writes it.
    RANGE: str
    #: Whether its queries ask for `$worker`.
    BY_WORKER: bool
    ROWS: Sequence[tuple[build.Row, Sequence[Panel]]]


def dashboard_of(page: Page) -> dashboard.Dashboard:
    """Return the dashboard: which Prometheus it asks can be chosen above it."""
    board = build.Dashboard(page.TITLE).uid(page.UID).description(page.DESCRIPTION).tags([_TAG])
    board.time(page.RANGE, "now").refresh("30s").timezone("browser").readonly()
    board.tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
    board.with_variable(
        build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    )
    if page.BY_WORKER:
        board.with_variable(_worker())
    board.link(
        build.DashboardLink("Pairwatch")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([_TAG])
        .as_dropdown(True)
        .keep_time(True)
        .include_vars(True)
    )
    board.annotation(
        build.AnnotationQuery()
        .name("Copying")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("red")
        .expr('ALERTS{alertname=~"Copying.*", alertstate="firing", severity="page"}')
    )
    numbers = count(1)
    for head, panels in page.ROWS:
        board.with_row(head.id(next(numbers)))
        for panel in panels:
            board.with_panel(panel.id(next(numbers)))
    return board.build()


def _worker() -> build.QueryVariable:
    every = dashboard.VariableOption(selected=True, text="All", value="$__all")
    worker = build.QueryVariable("worker").label("Worker").datasource(SOURCE)
    worker.query("label_values(pairwatch_build_info, instance)").multi(True).include_all(True)
    worker.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return worker.sort(dashboard.VariableSort.ALPHABETICAL_ASC).current(every)
