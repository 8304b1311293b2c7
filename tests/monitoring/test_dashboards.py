"""Dashboards: as the description makes them, of metrics that there are, in words that Prometheus knows.

That no panel is empty is shown by `make evidence-dashboards`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from tests.monitoring.prometheus import promtool
from tools import generate_dashboards
from tools.generate_metrics import known


def test_they_are_what_the_description_makes() -> None:
    for path, text in generate_dashboards.files().items():
        assert (generate_dashboards.ROOT / path).read_text() == text, f"{path}: run `make gen`"
    folder = generate_dashboards.ROOT / generate_dashboards.FOLDER
    assert {path.name for path in folder.iterdir()} == {path.name for path in generate_dashboards.files()}


def test_panels_have_places_and_ids_of_their_own() -> None:
    for text in generate_dashboards.files().values():
        panels = json.loads(text)["panels"]
        places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
        assert len(places) == len({panel["id"] for panel in panels}) == len(panels)


def test_they_ask_for_metrics_that_there_are() -> None:
    metrics = known()
    names = set(metrics)
    for name, metric in metrics.items():
        if metric.kind == "histogram":
            names |= {f"{name}_bucket", f"{name}_count", f"{name}_sum"}
    for dashboard, panel, expression in generate_dashboards.queries():
        unknown = set(re.findall(r"aidb_\w+", expression)) - names
        assert not unknown, (dashboard, panel, unknown)


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": generate_dashboards.filled(expression)}
        for number, (_, _, expression) in enumerate(generate_dashboards.queries())
    ]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    code, said = promtool("check", "rules", path)
    assert code == 0, said
