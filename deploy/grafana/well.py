"""*Is it well*: for whoever runs the workers."""

from deploy.grafana.panels import bars, lines, number, row

UID = "pairwatch-well"
TITLE = "Pairwatch: is it well"
DESCRIPTION = "Do the workers keep up, and what do they need?"
RANGE = "now-3h"
BY_WORKER = True

_WORKER = 'instance=~"$worker"'
_PROCESS = f'job="pairwatch", {_WORKER}'


def _quantile(share: float, metric: str) -> str:
    rate = f"rate({metric}_bucket{{{_WORKER}}}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by (le) ({rate}))"


def _rate(metric: str) -> str:
    return f"sum(rate({metric}{{{_WORKER}}}[$__rate_interval]))"


ROWS = [
    row(
        "Workers",
        number(
            "Workers up",
            "Workers that answer. NoProgress tells of one that does not.",
            "short",
            {"up": 'sum(up{job="pairwatch"})'},
        ),
        number(
            "Workers ready",
            "Workers whose /ready says yes; /ready has the reasons of the others in words.",
            "short",
            {"ready": "sum(pairwatch_ready)"},
        ),
        number(
            "Partitions",
            "Partitions that have a worker. Less than topics.partitions for longer than a "
            "rebalance: some accounts are watched by nobody.",
            "short",
            {"partitions": "pairwatch:partitions_assigned:sum"},
        ),
        number(
            "Behind",
            "How long the workers need for what waits. A minute and growing: add a worker.",
            "s",
            {"{{topic}}": "pairwatch:lag_seconds:sum"},
            limits=[(10, "orange"), (60, "red")],
        ),
        number(
            "Dead letters",
            "Share of the events that don't fit the contract, over five minutes.",
            "percentunit",
            {"dead letters": "pairwatch:dead_letters:ratio5m"},
            limits=[(0.001, "orange"), (0.01, "red")],
        ),
        number(
            "Misrouted",
            "Events that prove topics.keyed_by_account wrong, since the workers began. Above 0 "
            "accounts are judged by halves.",
            "short",
            {"events": "sum(pairwatch_misrouted_events_total)"},
            limits=[(1, "red")],
        ),
    ),
    row(
        "Flow",
        bars(
            "Events by outcome",
            "Duplicates: a shipper sends again. Late: a shipper catches up, or a clock is wrong. "
            "Skipped: for a moment after a restart.",
            "eps",
            {
                "{{outcome}}": "sum by (outcome) "
                f"(rate(pairwatch_events_total{{{_WORKER}}}[$__rate_interval]))"
            },
        ),
        lines(
            "Lag by partition",
            "Events that wait. Growing everywhere: too few workers, or too slow a disk. Growing "
            "in one: an account floods it, or its consumer is stuck.",
            "short",
            {
                "{{topic}} {{partition}}": "max by (topic, partition) "
                f"(pairwatch_committed_lag_events{{{_WORKER}}})"
            },
        ),
        lines(
            "Partitions with less detail",
            "They are far behind, and judge in full only one request a second of each account.",
            "short",
            {"{{instance}}": f"pairwatch_reduced_detail_partitions{{{_WORKER}}}"},
        ),
        lines(
            "How old the picture is",
            "Seconds between now and the event time that the slowest partition has reached. Far "
            "behind without lag: the shipper delays. Below 0: a gateway's clock is wrong.",
            "s",
            {"{{instance}}": f"time() - pairwatch_watermark_timestamp_seconds{{{_WORKER}}}"},
        ),
        bars(
            "Dead letters by reason",
            "A new reason after a deployment of the gateway: it changed its format.",
            "eps",
            {
                "{{reason}}": "sum by (reason) "
                f"(rate(pairwatch_dead_letters_total{{{_WORKER}}}[$__rate_interval]))"
            },
        ),
        lines(
            "Beside the stream",
            "Link activities sent to the groups' judges, and notices applied by the partitions: "
            "operators' words, groups' verdicts, what other partitions have learned.",
            "ops",
            {
                "link activities": _rate("pairwatch_link_activities_total"),
                "notices": _rate("pairwatch_notices_applied_total"),
            },
        ),
        lines(
            "Since the last commit",
            "About a second. A minute with lag: the worker lives without working.",
            "s",
            {"{{instance}}": f"time() - pairwatch_committed_timestamp_seconds{{{_WORKER}}}"},
        ),
    ),
    row(
        "State",
        lines(
            "Checkpoints",
            "How long decisions, state and offsets take to become durable. Near "
            "state.checkpoint_interval_s the worker does little else.",
            "s",
            {
                "half": _quantile(0.5, "pairwatch_checkpoint_seconds"),
                "99 %": _quantile(0.99, "pairwatch_checkpoint_seconds"),
            },
        ),
        lines(
            "Rows written",
            "About the number of accounts active in one checkpoint interval, each second.",
            "wps",
            {"rows": _rate("pairwatch_rows_written_total")},
        ),
        lines(
            "In memory",
            "Accounts and groups held live. At state.accounts_in_memory_max accounts go to disk "
            "and back.",
            "short",
            {
                "accounts {{instance}}": f"pairwatch_accounts_in_memory{{{_WORKER}}}",
                "groups {{instance}}": f"pairwatch_groups_in_memory{{{_WORKER}}}",
            },
        ),
        lines(
            "State on disk",
            "About 2 KB an account. Growth without end: a flood of made-up account ids.",
            "bytes",
            {"{{instance}}": f"pairwatch_state_disk_bytes{{{_WORKER}}}"},
        ),
    ),
    row(
        "Process",
        lines(
            "Memory",
            "Resident. Growing while the accounts in memory don't: a leak.",
            "bytes",
            {"{{instance}}": f"process_resident_memory_bytes{{{_PROCESS}}}"},
        ),
        lines(
            "Processor",
            "Cores in use. A worker uses one at most: near 1, add a worker.",
            "short",
            {"{{instance}}": f"rate(process_cpu_seconds_total{{{_PROCESS}}}[$__rate_interval])"},
        ),
        bars(
            "Rebalances",
            "Each stops all workers for seconds. Outside of deployments there should be none.",
            "short",
            {
                "{{instance}}": f"increase(pairwatch_rebalances_total{{{_WORKER}}}"
                "[$__rate_interval])"
            },
        ),
        lines(
            "Open files",
            "Share of the files that the process may have open.",
            "percentunit",
            {"{{instance}}": f"process_open_fds{{{_PROCESS}}} / process_max_fds{{{_PROCESS}}}"},
        ),
    ),
]
