"""`catalogue-sweep`: reading other people's pairs, each once, far faster than people do.

Catches the copy that is made as fast as the service gives pairs out, and the steady one.
Leaves alone who looks at the same pairs again, and who works on pairs of their own.
"""

from models.scenarios.scenario import Scenario
from models.signals import DAY_S, HOUR_S, MINUTE_S, Signal

SCENARIO = Scenario(
    name="catalogue-sweep",
    signals=(
        Signal("choices", MINUTE_S, usual=3, excess=60),
        Signal("choices", HOUR_S, usual=10, excess=600),
        Signal("choices", DAY_S, usual=15, excess=1_500),
        Signal("evidence", MINUTE_S, usual=6, excess=50),
        Signal("new_pairs", MINUTE_S, usual=60, excess=900),
        Signal("new_pairs", HOUR_S, usual=100, excess=3_000),
        Signal("new_pairs", DAY_S, usual=150, excess=8_000),
    ),
    stake=4,
)
