"""Write the dashboards and Grafana's alert rules: `python -m deploy.grafana`.

Needs grafana-foundation-sdk, one of the project's development packages.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import alerting, happening, right, well
from deploy.grafana.board import dashboard_of

HERE = Path(__file__).parent
ALERTS = HERE.parent / "prometheus" / "rules" / "alerts.yml"


def generated() -> dict[Path, str]:
    """Return what belongs into which file."""
    boards = {
        HERE / "dashboards" / f"{page.UID}.json": dashboard_of(page)
        for page in (happening, right, well)
    }
    rules = HERE / "provisioning" / "alerting" / "pairwatch.json"
    told = {**boards, rules: alerting.provisioning(yaml.safe_load(ALERTS.read_text())["groups"])}
    return {
        path: json.dumps(content, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for path, content in told.items()
    }


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text)
