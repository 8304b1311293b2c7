"""A Prometheus of its own, that scrapes what it is told to, and what it is asked."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from aidb.local.ports import free_ports
from tests.coordinator.process import until
from tools import prometheus


class Prometheus:
    """At ``address``."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, **parameters: object) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def unscraped(self) -> list[str]:
        """Targets that were not scraped well, with the reason."""
        targets = self.ask("targets")["activeTargets"]
        return [f"{one['scrapeUrl']}: {one['lastError']}" for one in targets if one["health"] != "up"]

    def values(self, expression: str, since: float) -> list[float]:
        """Of all series, between ``since`` (Unix seconds) and now; without those that are no number."""
        data = self.ask("query_range", query=expression, start=since, end=time.time(), step=1)
        values = (float(value) for series in data["result"] for _, value in series["values"])
        return [value for value in values if value == value]


@contextmanager
def scraping(
    directory: Path, targets: Mapping[str, Iterable[str]], every: str = "1s"
) -> Iterator[Prometheus]:
    """``targets``: addresses by job. Raises tools.prometheus.Missing."""
    program = prometheus.find("prometheus")
    scrape = [{"job_name": job, "static_configs": [{"targets": sorted(of)}]} for job, of in targets.items()]
    settings = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": scrape}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "prometheus.yml").write_text(yaml.safe_dump(settings))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with (directory / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        server = Prometheus(address)
        until(server.is_ready, 60)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)
