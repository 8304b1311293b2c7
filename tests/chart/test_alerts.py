"""The alerts as the chart gives them to the Prometheus operator."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.chart.conftest import Render, the

ALERTS = Path(__file__).resolve().parents[2] / "monitoring" / "alerts" / "aidb.yaml"


def test_the_rule_has_all_alerts_word_for_word(render: Render) -> None:
    rule = the(render("monitoring.prometheusRule.enabled=true"), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(ALERTS.read_text())
