"""Who is on call finds every alert and every error code from one page."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from aidb.v1 import common_pb2

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
LINKED = set(re.findall(r"\]\((errors|runbooks)/(\w+)\.md\)", PAGE))


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_alert_is_there_with_its_severity_and_runbook() -> None:
    groups = yaml.safe_load((ROOT / "monitoring" / "alerts" / "aidb.yaml").read_text())["groups"]
    alerts = section("Alerts")
    for rule in (rule for group in groups for rule in group["rules"]):
        name, severity = rule["alert"], rule["labels"]["severity"]
        assert f"| [{name}](runbooks/{name}.md) | {severity} |" in alerts, name
    assert len(alerts.split("](runbooks/")) - 1 == sum(len(group["rules"]) for group in groups)


def test_every_error_code_is_there_once() -> None:
    codes = set(map(str, common_pb2.ErrorCode.keys())) - {"ERROR_UNSPECIFIED"}
    named = re.findall(r"\[(\w+)\]\(errors/(\w+)\.md\)", section("Error codes"))
    assert sorted(page for _, page in named) == sorted(codes)
    assert all(label == page for label, page in named)


def test_symptoms_lead_to_pages_that_there_are() -> None:
    assert len(LINKED) > 50
    assert [link for link in LINKED if not (ROOT / "docs" / link[0] / f"{link[1]}.md").exists()] == []
