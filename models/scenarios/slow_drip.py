"""`slow-drip`: reading little at a time, day after day, but what hardly anybody else reads.

Catches the patient copier that no count of requests or pairs gives away.
Leaves alone whose taste is popular, however much they read, and who returns to the same few.
"""

from models.scenarios.scenario import Scenario
from models.signals import DAY_S, Signal

SCENARIO = Scenario(
    name="slow-drip",
    signals=(
        Signal("rare_reads", DAY_S, usual=1, excess=30),
        Signal("patience", DAY_S, usual=3, excess=60),
    ),
    stake=3,
)
