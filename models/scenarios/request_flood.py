"""`request-flood`: more requests than the service can bear from one account.

Catches floods of any action, also of generations, whatever they read.
Leaves alone machines that work at a steady pace which others of their kind keep, too.
"""

from models.scenarios.scenario import Scenario
from models.signals import DAY_S, HOUR_S, MINUTE_S, Signal

SCENARIO = Scenario(
    name="request-flood",
    signals=(
        Signal("requests", MINUTE_S, usual=6, excess=240),
        Signal("requests", HOUR_S, usual=30, excess=8_000),
        Signal("requests", DAY_S, usual=40, excess=60_000),
    ),
    stake=1,
)
