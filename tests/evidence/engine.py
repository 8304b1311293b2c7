"""Power failures on simulated disks and kill -9 on the real one, under the storage engine alone: is what is
left a prefix of commit order with everything that was promised?

The rounds run in the engine's own test program (node/lsm/tests/engine/crash, kills.rs), a hundred a second;
this builds it, runs it and adds up. Every tenth round's worth, a process is killed. Before that, the crash
test has to find each of the syncs that it is told to leave out.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.evidence.report import Report, options

ROOT = Path(__file__).resolve().parents[2]
POWER = "crash::a_power_failure_leaves_a_prefix_with_everything_promised"
KILLS = "kills::a_kill_loses_nothing_that_was_acknowledged"
ROUNDS_PER_KILL = 10
# Syncs left out, each of which has to be found.
DEFECTS = 6


def built() -> Path:
    """The test program of the engine."""
    command = ["cargo", "test", "-p", "aidb-lsm", "--test", "engine", "--no-run", "--locked", "--message-format=json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    paths = [Path(found["executable"]) for found in messages if found.get("executable")]
    return paths[-1]


def tested(program: Path, test: str, seed: int, environment: dict[str, int], report: Report) -> None:
    """One test; its rounds, violations and sums go into the report."""
    given = {"AIDB_SEED": seed, **environment}
    # With more than one thread the harness writes no test's name before its lines.
    command = [str(program), "--exact", test, "--nocapture", "--test-threads=2"]
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **{name: str(value) for name, value in given.items()}},
    )
    did, violations = "", list[str]()
    assert running.stdout is not None
    with running.stdout as lines:
        for line in lines:
            kind, _, rest = line.rstrip().partition(" ")
            if kind == "violation":
                violations.append(rest)
                continue
            if did:
                report.round(did, violations)
                did, violations = "", []
            if kind == "round":
                did = rest
            elif kind == "sum":
                report.numbers.update(sums(rest))
    if did:
        report.round(did, violations)
    if running.wait() != 0:
        report.violations += 1
        print(f"  VIOLATION {test} failed; its last words are above", flush=True)


def sums(line: str) -> Counter[str]:
    """``name=number ...``."""
    return Counter({name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)})


def defects_found(program: Path) -> int:
    """How many of the left-out syncs the crash test notices."""
    command = [str(program), "crash::defects", "--nocapture"]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, errors="replace", check=False).stdout
    found = re.findall(r"^.*: found after \d+ crashes$", output, re.MULTILINE)
    for line in found:
        print(f"defect: {line}", flush=True)
    return len(found)


def run(rounds: int, seed: int, report: Report) -> None:
    """Defects, power failures, kills."""
    program = built()
    report.numbers["defects_found"] = defects_found(program)
    tested(program, POWER, seed, {"AIDB_ROUNDS": rounds}, report)
    tested(program, KILLS, seed, {"AIDB_KILLS": max(1, rounds // ROUNDS_PER_KILL)}, report)


def did_damage(rounds: int, numbers: Counter[str]) -> bool:
    """A third of the power failures lost bytes, every left-out sync was found, and writers were killed."""
    return (
        numbers["rounds_that_dropped"] * 3 >= rounds
        and numbers["undone_names"] > 0
        and numbers["defects_found"] == DEFECTS
        and numbers["kills_acknowledged"] > 0
    )


def main() -> int:
    """Exit code 0 only when nothing was violated and the failures did damage."""
    asked = options("engine")
    report = Report("engine", asked.seed)
    started = time.monotonic()
    run(asked.rounds, asked.seed, report)
    print(report.last_line(seconds=round(time.monotonic() - started)))
    expected = asked.rounds + max(1, asked.rounds // ROUNDS_PER_KILL)
    return report.exit_code(expected, holds=did_damage(asked.rounds, report.numbers))


if __name__ == "__main__":
    sys.exit(main())
