"""The alerts as the chart gives them to the Prometheus operator."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.chart.conftest import Render, the

ALERTS = Path(__file__).resolve().parents[2] / "monitoring" / "alerts" / "aidb.yaml"


def test_the_rule_has_all_alerts_word_for_word(render: Render) -> None:
    rule = the(render("monitoring.prometheusRule.enabled=true"), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())


def test_runbooks_are_where_the_values_say(render: Render) -> None:
    there = "monitoring.prometheusRule.runbookUrl=https://docs.example.com/runbooks/\\{alert\\}/"
    rule = the(render("monitoring.prometheusRule.enabled=true", there), "PrometheusRule")
    rules = [one for group in rule["spec"]["groups"] for one in group["rules"]]
    assert rules
    for one in rules:
        url = f"https://docs.example.com/runbooks/{one['alert']}/"
        assert one["annotations"]["runbook_url"] == url
