"""`catalogue-sweep`: reading other people's pairs, each once, far faster than people do.

Catches the copy that is made as fast as the service gives pairs out, and the steady one.
Leaves alone who looks at the same pairs again, and who works on pairs of their own.
"""

from models.scenarios.scenario import Scenario
from models.signals import DAY_S, HOUR_S, MINUTE_S, Signal

SCENARIO = Scenario(
    name="catalogue-sweep",
    signals=(
        Signal("choices", MINUTE_S, usual=2, excess=30),
        Signal("choices", HOUR_S, usual=6, excess=250),
        Signal("choices", DAY_S, usual=8, excess=400),
        Signal("new_pairs", MINUTE_S, usual=40, excess=800),
        Signal("new_pairs", HOUR_S, usual=120, excess=4_000),
        Signal("new_pairs", DAY_S, usual=160, excess=12_000),
    ),
)
