"""All alerts, from monitoring/alerts/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tools.reference.cells import cell, table

ROOT = Path(__file__).resolve().parents[2]
_HEAD = """# Alerts

Made by `make gen` from [the rules](../../monitoring/alerts/aidb.yaml). `critical`: clients or data suffer,
somebody has to act now. `warning`: within a day. What to do: the runbook behind each name
([all of them](../runbooks/README.md)).
"""


def page() -> str:
    parts = [_HEAD]
    for path in sorted((ROOT / "monitoring" / "alerts").glob("*.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            parts.append(f"\n## {group['name']}\n\n")
            rows = [_row(rule) for rule in group["rules"] if "alert" in rule]
            parts.append(table(("alert", "severity", "after", "fires when"), rows))
    return "".join(parts)


def _row(rule: dict[str, Any]) -> tuple[str, ...]:
    name = rule["alert"]
    return (
        f"[{name}](../runbooks/{name}.md)",
        rule["labels"]["severity"],
        str(rule.get("for", "")),
        cell(rule["annotations"]["description"]),
    )
