"""What a run prints; its last line is `evidence <name> seed=... rounds=... violations=0 ...`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

SHOWN_PER_ROUND = 5


@dataclass(slots=True)
class Report:
    """The sums of a run. ``numbers`` are what the last line ends with."""

    name: str
    seed: int
    rounds: int = 0
    violations: int = 0
    numbers: Counter[str] = field(default_factory=Counter)

    def round(self, did: str, violations: Iterable[object]) -> None:
        """One round is over."""
        self.rounds += 1
        found = [str(violation) for violation in violations]
        self.violations += len(found)
        print(f"round {self.rounds} {did} violations={len(found)}", flush=True)
        for violation in found[:SHOWN_PER_ROUND]:
            print(f"  VIOLATION {violation}", flush=True)

    def last_line(self, **more: object) -> str:
        told = {
            "seed": self.seed,
            "rounds": self.rounds,
            "violations": self.violations,
            **dict(sorted(self.numbers.items())),
            **more,
        }
        return " ".join([f"evidence {self.name}", *(f"{key}={value}" for key, value in told.items())])

    def exit_code(self, expected_rounds: int, holds: bool = True) -> int:
        return 0 if holds and self.violations == 0 and self.rounds == expected_rounds else 1


def options(name: str, argv: list[str] | None = None) -> argparse.Namespace:
    """``--rounds`` and ``--seed``."""
    return parser(name).parse_args(argv)


def parser(name: str) -> argparse.ArgumentParser:
    """Of those options, for a run that has more."""
    # A run that is told to end puts away what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    asking = argparse.ArgumentParser(prog=f"python -m tests.evidence.{name}")
    asking.add_argument("--rounds", type=int, default=100)
    asking.add_argument("--seed", type=int, default=1)
    return asking
