"""`coordinated-sweep`: accounts with a link or a manner in common that divide the catalogue.

Catches groups of which each member is too modest to stand out: what they open is rare, and no
two open the same. Leaves alone who works together, on each other's pairs or on the same task, and
the colleagues of those who copy. Judged by link in `models.groups`, not by the account's signals.
"""

from models.scenarios.scenario import Scenario

NAME = "coordinated-sweep"
SCENARIO = Scenario(name=NAME, signals=(), stake=0)
