"""`page-harvest`: turning page after page of what it has never been shown, and opening nothing.

Catches the copy that is made from lists and search results alone.
Leaves alone who looks closer at some of what a page shows, and programs that read the same page
again and again.
"""

from models.scenarios.scenario import Scenario
from models.signals import HOUR_S, Signal

SCENARIO = Scenario(
    name="page-harvest",
    signals=(Signal("passed", HOUR_S, usual=60, excess=600),),
    stake=1,
)
