"""What a scenario came to: a line on the terminal, and one in target/e2e/results.jsonl."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from e2e.harness.load import NS, Told
from e2e.harness.machine import ROOT

RESULTS: Path = ROOT / "target" / "e2e" / "results.jsonl"


class Scenario:
    """Collects figures of one test and tells them in the end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._begun = time.monotonic()
        self._figures: dict[str, Any] = {}

    def note(self, **figures: object) -> None:
        self._figures |= figures

    def check(self, told: Told, parts: Mapping[str, tuple[int, int]] = MappingProxyType({})) -> None:
        """What clients saw has to be right; how long they waited is noted, also in each of ``parts``.
        Raises AssertionError.
        """
        for name, (begin, end) in parts.items():
            pauses = {f"{what}_pause_s": round(pause, 2) for what, pause in told.pauses(begin, end).items()}
            print(f"e2e   {name}: {(end - begin) / NS:.1f} s, {pauses}", flush=True)
            self._figures.setdefault("parts", {})[name] = pauses
        told.check()
        counts = told.counts
        self.note(
            writes=counts.get("acknowledged", 0),
            reads=sum(count for name, count in counts.items() if name.endswith("_reads")),
            unknown=counts.get("unknown", 0),
            failed=told.failures,
            **{f"longest_{what}_pause_s": round(pause, 2) for what, pause in told.pauses().items()},
            violations=0,
        )

    def tell(self, passed: bool) -> None:
        seconds = round(time.monotonic() - self._begun, 1)
        told = {"scenario": self.name, "passed": passed, "seconds": seconds, **self._figures}
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(told, default=str) + "\n")
        print("e2e " + " ".join(f"{name}={value}" for name, value in told.items()), flush=True)
