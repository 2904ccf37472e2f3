"""The few kinds of panels that the dashboards are made of.

Every panel says in its description what to make of it, and asks the dashboard's data source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, statetimeline
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import timeseries as graph
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel = graph.Panel | stat.Panel | heatmap.Panel | statetimeline.Panel
P = TypeVar("P", graph.Panel, stat.Panel, heatmap.Panel, statetimeline.Panel)

#: PromQL by legend; `{{scenario}}` in a legend stands for that label's value.
Queries = Mapping[str, str]
#: From which value on a figure has which colour; below the first it is green.
Limits = Sequence[tuple[float, str]]
#: Text and colour for a state.
Words = Mapping[int, tuple[str, str]]

SOURCE: Final = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
FULL_WIDTH: Final = 24
_HEIGHT: Final = 8
_NUMBER_HEIGHT: Final = 4


def lines(
    title: str,
    description: str,
    unit: str,
    queries: Queries,
    *,
    width: int = 12,
    logarithmic: bool = False,
) -> graph.Panel:
    """Return values over time."""
    panel = _over_time().fill_opacity(10)
    if logarithmic:
        log = common.ScaleDistributionConfig().type(kinds.ScaleDistribution.LOG).log(10)
        panel.scale_distribution(log)
    else:
        panel.min(0)
    return _asking(panel, title, description, unit, queries).span(width).height(_HEIGHT)


def bars(
    title: str, description: str, unit: str, queries: Queries, *, width: int = 12
) -> graph.Panel:
    """Return counts for each stretch of time, stacked."""
    panel = _over_time().draw_style(kinds.GraphDrawStyle.BARS).fill_opacity(70).min(0)
    panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A"))
    return _asking(panel, title, description, unit, queries).span(width).height(_HEIGHT)


def number(
    title: str,
    description: str,
    unit: str,
    queries: Queries,
    *,
    limits: Limits = (),
    words: Words | None = None,
    width: int = 4,
) -> stat.Panel:
    """Return the latest value, large, or the words for it."""
    panel = stat.Panel().color_mode(kinds.BigValueColorMode.VALUE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.graph_mode(kinds.BigValueGraphMode.NONE if words else kinds.BigValueGraphMode.AREA)
    panel.thresholds(_thresholds(limits))
    if words:
        panel.mappings([_mapping(words)])
    return _asking(panel, title, description, unit, queries).span(width).height(_NUMBER_HEIGHT)


def states(
    title: str, description: str, queries: Queries, words: Words, *, width: int = 12
) -> statetimeline.Panel:
    """Return from when to when something was in which state."""
    panel = statetimeline.Panel().mappings([_mapping(words)])
    panel.show_value(kinds.VisibilityMode.NEVER)
    return _asking(panel, title, description, "none", queries).span(width).height(_HEIGHT)


def spread(
    title: str, description: str, unit: str, queries: Queries, *, width: int = 12
) -> heatmap.Panel:
    """Return how the values of a histogram spread, over time."""
    panel = heatmap.Panel().y_axis(heatmap.YAxisConfig().unit(unit))
    panel.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges"))
    _asking(panel, title, description, unit, queries, PromQueryFormat.HEATMAP)
    return panel.span(width).height(_HEIGHT)


def row(title: str, *panels: Panel) -> tuple[build.Row, Sequence[Panel]]:
    """Return a row and what stands in it."""
    return build.Row(title), panels


def _asking(
    panel: P,
    title: str,
    description: str,
    unit: str,
    queries: Queries,
    shape: PromQueryFormat = PromQueryFormat.TIME_SERIES,
) -> P:
    panel.title(title).description(description).unit(unit).datasource(SOURCE)
    for number, (legend, expr) in enumerate(queries.items()):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).range()
        panel.with_target(query.ref_id(chr(ord("A") + number)).format(shape))
    return panel


def _over_time() -> graph.Panel:
    legend = common.VizLegendOptions().display_mode(kinds.LegendDisplayMode.LIST)
    tooltip = common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI)
    panel = graph.Panel().show_points(kinds.VisibilityMode.AUTO)
    panel.legend(legend.placement(kinds.LegendPlacement.BOTTOM).show_legend(True))
    return panel.tooltip(tooltip.sort(kinds.SortOrder.DESCENDING))


def _thresholds(limits: Limits) -> build.ThresholdsConfig:
    steps = [dashboard.Threshold(value=None, color="green")]
    steps += [dashboard.Threshold(value=value, color=color) for value, color in limits]
    return build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _mapping(words: Words) -> dashboard.ValueMap:
    return dashboard.ValueMap(
        options={
            str(value): dashboard.ValueMappingResult(text=text, color=color, index=index)
            for index, (value, (text, color)) in enumerate(words.items())
        }
    )
