"""Alerts: each fires when it should and stays quiet when it should, and has a runbook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.alert_cases import CASES, Case, Series
from tests.monitoring.prometheus import promtool
from tools.generate_metrics import known

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "monitoring" / "alerts" / "aidb.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ("## What it means", "## Look", "## Do")


def rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def _test(name: str, case: Case, series: Series, fires: bool) -> dict[str, Any]:
    firing = f'count(ALERTS{{alertname="{name}", alertstate="firing"}})'
    return {
        "interval": "1m",
        "name": f"{name} {'fires' if fires else 'is quiet'}",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {
                "expr": firing,
                "eval_time": f"{case.minutes}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


def test_each_alert_fires_and_stays_quiet(tmp_path: Path) -> None:
    assert sorted(CASES) == sorted(rules()), "one case for each alert"
    paths = []
    for name, case in CASES.items():
        # Alone, it is evaluated at a cost that does not grow with the others.
        rule = tmp_path / f"{name}.yaml"
        rule.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": [rules()[name]]}]}))
        tests = [_test(name, case, case.fires, fires=True), _test(name, case, case.quiet, fires=False)]
        path = tmp_path / f"{name}-test.yaml"
        path.write_text(
            yaml.safe_dump({"rule_files": [str(rule)], "evaluation_interval": "1m", "tests": tests})
        )
        paths.append(path)
    code, said = promtool("test", "rules", *paths)
    assert code == 0, said


def test_promtool_accepts_the_rules() -> None:
    code, said = promtool("check", "rules", "--lint-fatal", ALERTS)
    assert code == 0, said


def test_each_alert_says_what_to_do() -> None:
    for name, rule in rules().items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, name
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md", name
        page = (RUNBOOKS / f"{name}.md").read_text()
        missing = [section for section in (f"# {name}", *SECTIONS) if section not in page]
        assert not missing, (name, missing)
        assert f"[{name}]({name}.md)" in (RUNBOOKS / "README.md").read_text(), name
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(rules()), "no page of an alert that is gone"


def test_alerts_use_metrics_that_there_are() -> None:
    names = set(known())
    histograms = {
        f"{name}_{part}"
        for name, one in known().items()
        if one.kind == "histogram"
        for part in ("bucket", "count", "sum")
    }
    for name, rule in rules().items():
        used = set(re.findall(r"aidb_\w+", rule["expr"]))
        assert used and used <= names | histograms, (name, used - names - histograms)
