"""`make evidence-handover ROUNDS=100 SEED=1`: planned hand-overs in a row, under load (D6).

Each round the shard's primary is handed to the next incarnation, in mode `async`, which loses the most when
something goes wrong. Checked: no call of a client fails or has an unknown outcome, nothing that was
acknowledged is missing, sessions get what they wrote; the old primary ends in order, and its directory says
that it can go. Printed: the longest pause, which is how long the slowest call took, its retries included.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.checkers import durable
from tests.checkers import session as sessions
from tests.checkers.history import Operation
from tests.evidence.broken_sessions import CALL_SECONDS, load, nap
from tests.evidence.crew import Crew
from tests.evidence.recorder import Record
from tests.evidence.report import Report, options
from tests.evidence.succession import Succession

END_SECONDS = 30.0


class HandOver:
    """Runs rounds on one shard, which lives through all of them."""

    def __init__(self, shard: Succession, rng: random.Random, report: Report) -> None:
        self._shard = shard
        self._rng = rng
        self._report = report
        self._round = 0
        self._incarnation = 1
        self._writes: list[Operation] = []

    def round(self) -> None:
        """One hand-over under load, and all checks."""
        self._round += 1
        shard, numbers = self._shard, self._report.numbers
        old = self._incarnation
        with ExitStack() as stack:
            crew = stack.enter_context(Crew(load(stack, shard, self._rng, b"r%d-" % self._round)))
            nap(self._rng.uniform(0.2, 0.6))
            before = len(crew.sessions)
            began = time.monotonic()
            self._incarnation = shard.want(planned=True)
            shard.primary(self._incarnation).start()
            seconds = time.monotonic() - began
            nap(self._rng.uniform(0.2, 0.4))
            violations = self._ended(old)
        record = crew.record()
        shard.wait_whole()
        pause = max((op.end - op.start) / 1e6 for op in record.operations)
        violations += self._check(record)
        shard.discard(old)
        for name in ("acknowledged", "session_reads"):
            numbers[name] += record.counts[name]
        numbers["longest_pause_ms"] = max(numbers["longest_pause_ms"], round(pause))
        self._report.round(
            f"sessions={before} acknowledged={record.counts['acknowledged']} pause={pause:.0f}ms "
            f"hand_over={seconds:.1f}s",
            violations,
        )

    def _ended(self, incarnation: int) -> list[str]:
        program = self._shard.primary(incarnation)
        end = time.monotonic() + END_SECONDS
        while program.running and time.monotonic() < end:
            nap(0.02)
        if program.exit_code != 3:
            return [f"incarnation {incarnation} ended with {program.exit_code}: {program.last_words()}"]
        identity = json.loads((self._shard.directory(incarnation) / "identity.json").read_bytes())
        return [] if identity["handed_over"] else [f"incarnation {incarnation} did not hand over"]

    def _check(self, record: Record) -> list[str]:
        violations = list(record.surprises)
        noticed = ("unknown", "failed_writes", "failed_reads", "sessions_broken")
        violations += [
            f"{record.counts[what]} {what}: {dict(record.failures)}"
            for what in noticed
            if record.counts[what]
        ]
        violations += map(str, sessions.check(record.operations))
        writes = [op for op in record.operations if op.writes]
        self._writes += writes
        return [*violations, *self.missing(writes)]

    def missing(self, writes: list[Operation]) -> list[str]:
        """What of them is not there."""
        keys = sorted({write.key for write in writes})
        found: dict[bytes, durable.Found] = {}
        with self._shard.connect(CALL_SECONDS) as client:
            for first in range(0, len(keys), 1000):
                entries = client.get_entries(keys[first : first + 1000], consistency="strong")
                found.update({entry.key: (entry.value, entry.version) for entry in entries if entry})
        return [*map(str, durable.check(writes, found))]

    def check_all(self) -> list[str]:
        """Every write of every round once more."""
        return self.missing(self._writes)


def run(rounds: int, seed: int, report: Report, root: Path) -> None:
    rng = random.Random(seed)
    with Succession(root, snapshot_every=20.0) as shard:
        hand_over = HandOver(shard, rng, report)
        for _ in range(rounds):
            hand_over.round()
        lost = hand_over.check_all()
        for violation in lost:
            print(f"  VIOLATION at the end: {violation}")
        report.violations += len(lost)


def main() -> int:
    """Exit code 0 only when nothing was violated."""
    asked = options("handover")
    report = Report("handover", asked.seed)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="aidb-handover-") as directory:
        run(asked.rounds, asked.seed, report, Path(directory))
    print(report.last_line(seconds=round(time.monotonic() - started)))
    return report.exit_code(asked.rounds)


if __name__ == "__main__":
    sys.exit(main())
