"""Where detection falls short, case by case."""

from __future__ import annotations

from statistics import median

from streams.simulate.attacks.table import ATTACKS
from tests.scenarios.figures import LATE_SHARE, OURS, Run
from tests.scenarios.text import percent, span

#: Cases of an attack, and false alarms, that are told; `--json` has them all.
_CASES_MAX, _FALSE_ALARMS_MAX = 4, 100


def missed(run: Run) -> list[str]:
    """Say for each attack that gets away with much how it hides among the honest."""
    found = []
    for attack in ATTACKS:
        cases = run.cases(OURS, attack)
        late = [case for case in cases if case.is_missed_or_late]
        if not late:
            continue
        never = sum(case.throttled_after_s is None for case in late)
        pace = median(case.taken / case.active_days for case in late)
        above = sum(pairs >= pace for pairs in run.tuning_pairs) / len(run.tuning_pairs)
        kept = f"{len(late) - never} kept more than {percent(LATE_SHARE, 1)} of their pairs"
        found.append(
            f"{attack}: of {len(cases)} accounts {never} were never stopped and {kept}; they take "
            f"{pace:,.0f} a day (median), as {percent(above, 1)} of honest account-days do"
        )
    return found


def late(run: Run) -> list[str]:
    """Describe the cases of each attack that kept most of their loot."""
    found = []
    for attack in ATTACKS:
        late = sorted(
            (
                (case.kept, result.spec.seed, case)
                for result in run.results
                for case in result.figures[OURS].cases
                if case.attack == attack and case.is_missed_or_late
            ),
            key=lambda case: (-case[0], case[1]),
        )
        for kept, seed, case in late[:_CASES_MAX]:
            line = f"{attack}, world {seed} {case.account_id} ({case.kind}): kept {kept:.0%} of "
            line += f"{case.taken:,} pairs in {case.active_days:.1f} days; "
            if case.throttled_after_s is None:
                line += "never stopped"
            else:
                line += f"after {span(case.throttled_after_s)}: {case.first_decision}"
            found.append(line)
        if len(late) > _CASES_MAX:
            found.append(f"{attack}: … and {len(late) - _CASES_MAX} more")
    return found


def false_alarms(run: Run) -> list[str]:
    """Describe our decisions against honest accounts."""
    found = [
        f"{result.spec.name} world {result.spec.seed} {alarm.account_id} ({alarm.kind}): "
        f"{alarm.decision}"
        for result in run.results
        for alarm in result.figures[OURS].false_alarms
    ]
    if len(found) > _FALSE_ALARMS_MAX:
        found[_FALSE_ALARMS_MAX:] = [f"… and {len(found) - _FALSE_ALARMS_MAX} more"]
    return found
