"""`make evidence-zombie ROUNDS=200 SEED=1`: primaries that are stopped, taken over from, and resumed.

Each round one or two takeovers under load. The old primary gets a SIGSTOP at a random moment and a SIGCONT at
another one: before, during or after the takeover. Scenarios, in turn:

    plain        one takeover
    two          the taker is stopped as well, when it serves; another takes over from it
    dying        the taker is killed at a random moment, and another takes a higher epoch
    coordinator  the coordinator is killed at a random moment, and restarted
    killed       the old primary is killed for good: only its directory is left

Checked: no request that was sent after the new primary served is acknowledged by the old one, be it a write
or a strong read; what is there in the end is everything through the cut, and nothing beyond it; what was
archived is through the cut; the second copy can be restored, whole; sessions get what they wrote, or
SESSION_BROKEN; caches show what the primary shows; old primaries end by themselves, and their directories
stay. A build of the nodes whose caches stay over the change of an epoch (C4) has to be caught by that. In
mode `async` the takeovers have to lose something: a run that loses nothing shows nothing. In `replica` and
`archived` nothing may be lost.
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIGCONT, SIGSTOP

from aidb_node.recovery.recover import recover

from aidb.client import Client
from aidb.durability.loss import Lossy
from aidb.durability.restore_plan import Target
from aidb.objects.errors import ObjectError
from tests.checkers import session as sessions
from tests.checkers.history import Operation
from tests.evidence import mutant
from tests.evidence.broken_sessions import load, nap
from tests.evidence.crew import Crew
from tests.evidence.lanes import lanes
from tests.evidence.old_primary import OldClients
from tests.evidence.processes import Program, ProgramFailed
from tests.evidence.recorder import Record
from tests.evidence.report import Report, options
from tests.evidence.succession import Succession

MODES = ("async", "replica", "archived")
SCENARIOS = ("plain", "two", "dying", "coordinator", "killed")
CALL_SECONDS = 30.0
END_SECONDS = 30.0
EPOCH_GAP = 1 << 32
KEEP_EPOCH = "keep-epoch"
MUTANT_ROUNDS = 10
# Of rounds, how many have to lose something for the run to show anything (mode async).
ENOUGH_LOSS = 0.1


@dataclass(slots=True)
class Takeover:
    """``serves``: when the new primary was known to serve (monotonic seconds). ``epoch``: of the old one."""

    old: int
    epoch: int
    archived_lsn: int
    serves: float
    clients: OldClients


class Zombie:
    """Runs rounds on one shard, which lives through all of them."""

    def __init__(self, shard: Succession, rng: random.Random, report: Report) -> None:
        self._shard = shard
        self._rng = rng
        self._report = report
        self._round = 0
        self._incarnation = 1
        self._keys: list[bytes] = []
        self._served_at = 0.0

    def round(self, scenario: str) -> None:
        """One or two takeovers under load, and all checks."""
        self._round += 1
        shard, numbers = self._shard, self._report.numbers
        began = time.monotonic()
        takeovers = []
        with ExitStack() as stack:
            crew = stack.enter_context(Crew(load(stack, shard, self._rng, b"r%d-" % self._round)))
            nap(self._rng.uniform(0.3, 1.0))
            takeovers.append(self._take_over(stack, scenario))
            if scenario == "two":
                nap(self._rng.uniform(0.0, 0.5))
                takeovers.append(self._take_over(stack, "plain"))
            nap(self._rng.uniform(0.3, 0.6))
            violations = self._ends(takeovers)
        record = crew.record()
        shard.wait_whole()
        for takeover in takeovers:
            violations += self._late(takeover)
        violations += self._second_copy()
        lost, problems = self._compare(record, takeovers)
        violations += [*problems, *record.surprises, *map(str, sessions.check(record.operations))]
        for takeover in takeovers:
            self._shard.discard(takeover.old)
        numbers["takeovers"] += len(takeovers)
        numbers["lost"] += lost
        numbers["rounds_with_loss"] += lost > 0
        numbers[f"rounds_{shard.durability}"] += 1
        for name in ("acknowledged", "unknown", "failed_writes", "session_reads", "sessions_broken"):
            numbers[name] += record.counts[name]
        self._report.round(
            f"{shard.durability} {scenario} takeovers={len(takeovers)} "
            f"acknowledged={record.counts['acknowledged']} lost={lost} "
            f"broken={record.counts['sessions_broken']} slowest_read={record.slowest_read:.2f}s "
            f"seconds={time.monotonic() - began:.1f}",
            violations,
        )

    # --- one takeover ---

    def _take_over(self, stack: ExitStack, scenario: str) -> Takeover:
        shard, rng = self._shard, self._rng
        before = shard.shard()
        old = self._incarnation
        clients = stack.enter_context(OldClients(before.primary.address, f"{self._round}-{old}"))
        nap(rng.uniform(0.05, 0.3))
        stats = shard.stats(before.primary.address)
        archived = stats.durability.archived_lsn if stats else 0
        attempts = 1
        while not self._attempt(scenario, shard.primary(old), attempts):
            # It woke up before the taker had taken its epoch: then it goes on, as it should.
            self._report.numbers["came_back_in_time"] += 1
            attempts += 1
        self._incarnation = old + 1
        return Takeover(old, before.epoch, archived, self._served_at, clients)

    def _attempt(self, scenario: str, old: Program, attempt: int) -> bool:
        """Whether the next incarnation serves in the end. The old one sleeps longer each time."""
        shard, rng = self._shard, self._rng
        if scenario == "killed":
            old.kill()
        else:
            old.signal(SIGSTOP)
        resume_at = time.monotonic() + attempt * rng.uniform(1.0, 4.0 + 2.0 * shard.lease)
        resumed = scenario == "killed"
        incarnation = shard.wanted()
        taker = shard.primary(incarnation)
        taker.launch()
        if scenario == "dying":
            nap(rng.uniform(0.2, 2.0 + shard.lease))
            taker.kill()
            self._report.numbers["takers_killed"] += 1
            self._report.numbers["takers_killed_late"] += shard.shard().incarnation == incarnation
            taker.launch()
        if scenario == "coordinator":
            nap(rng.uniform(0.1, 1.5))
            shard.coordinator.kill()
            shard.coordinator.start()
            self._report.numbers["coordinators_killed"] += 1
        while taker.running and shard.shard().incarnation != incarnation:
            if not resumed and time.monotonic() >= resume_at:
                old.signal(SIGCONT)
                resumed = True
                self._report.numbers["resumed_before_service"] += 1
            nap(0.01)
        try:
            taker.wait_ready()
        except ProgramFailed:
            if shard.shard().HasField("successor") or shard.shard().incarnation == incarnation:
                raise
            return False
        self._served_at = time.monotonic()
        if not resumed:
            nap(rng.uniform(0.0, 0.3))
            old.signal(SIGCONT)
            self._report.numbers["resumed_after_service"] += 1
        return True

    # --- what has to hold ---

    def _ends(self, takeovers: list[Takeover]) -> list[str]:
        """Old primaries end by themselves, say why, and leave their directories as they are."""
        violations = []
        for takeover in takeovers:
            program = self._shard.primary(takeover.old)
            if program.pid == 0:
                continue  # killed
            end = time.monotonic() + END_SECONDS
            while program.running and time.monotonic() < end:
                nap(0.02)
            if program.exit_code is None:
                violations.append(f"incarnation {takeover.old} has not ended after {END_SECONDS:.0f} s")
            elif program.exit_code == 0:
                violations.append(f"incarnation {takeover.old} ended as if nothing had happened")
            if not (self._shard.directory(takeover.old) / "store").exists():
                violations.append(f"the data of incarnation {takeover.old} is gone")
        return violations

    def _late(self, takeover: Takeover) -> list[str]:
        """t24."""
        late = [sent for sent in takeover.clients.acknowledged if sent.at > takeover.serves]
        self._report.numbers["sent_to_old"] += takeover.clients.sent
        self._report.numbers["acknowledged_by_old"] += len(takeover.clients.acknowledged)
        return [
            f"incarnation {takeover.old} acknowledged {sent.key!r} (v{sent.version}), sent "
            f"{1000 * (sent.at - takeover.serves):.0f} ms after incarnation {self._incarnation} served"
            for sent in late
        ]

    def _second_copy(self) -> list[str]:
        """D4, D9: what the new primary has archived needs nothing of its disk, and is whole."""
        shard, aside = self._shard, self._shard.root / "aside"
        stats = shard.stats(shard.shard().primary.address)
        archived = stats.durability.archived_lsn if stats else 0
        try:
            report = recover(shard.catalog, aside, Target())
        except (Lossy, ObjectError) as error:
            return [f"the second copy cannot be restored: {error}"]
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        self._report.numbers["restored_aside"] += 1
        if report.lsn < archived:
            return [f"the second copy goes to lsn {report.lsn}, {archived} was archived"]
        return []

    def _compare(self, record: Record, takeovers: list[Takeover]) -> tuple[int, list[str]]:
        """How many acknowledged writes were lost; what is wrong with what is left."""
        cuts = {cut.epoch: cut.lsn for cut in self._shard.shard().cuts}
        violations = []
        spans = []
        for takeover in takeovers:
            cut = min(lsn for epoch, lsn in cuts.items() if epoch >= takeover.epoch)
            if cut < takeover.archived_lsn:
                violations.append(f"the cut {cut} is before lsn {takeover.archived_lsn}, which was archived")
            spans.append((cut, cut + EPOCH_GAP))
        acknowledged = [(op.key, op.version) for op in _written(record.operations)]
        for takeover in takeovers:
            acknowledged += [
                (sent.key, sent.version) for sent in takeover.clients.acknowledged if sent.version
            ]
        self._keys = sorted({key for key, _ in acknowledged})
        lost = 0
        time.sleep(self._shard.lease)
        with self._shard.connect(CALL_SECONDS) as client:
            strong = self._read(client, "strong")
            cached = self._read(client, "session")
        for key, version in acknowledged:
            beyond = any(low < version <= high for low, high in spans)
            if beyond:
                lost += 1
                if self._shard.durability != "async":
                    violations.append(f"{key!r} v{version} was acknowledged and lost, beyond the cut {spans}")
                if strong[key] == version:
                    violations.append(f"{key!r} v{version} is there, though it is beyond the cut {spans}")
            elif strong[key] < version:
                violations.append(
                    f"{key!r} v{version} was acknowledged, is not beyond the cut {spans}, and is lost"
                )
        violations += [
            f"{key!r} is v{cached[key]} in a cache, v{strong[key]} at its primary"
            for key in self._keys
            if cached[key] != strong[key]
        ]
        return lost, violations

    def _read(self, client: Client, consistency: str) -> dict[bytes, int]:
        """Versions by key; 0 = there is none."""
        found = {}
        for first in range(0, len(self._keys), 500):
            part = self._keys[first : first + 500]
            entries = client.get_entries(part, consistency=consistency)  # type: ignore[arg-type]
            found.update(
                {key: entry.version if entry else 0 for key, entry in zip(part, entries, strict=True)}
            )
        return found


def _written(history: list[Operation]) -> list[Operation]:
    return [op for op in history if op.writes and op.version]


def run(rounds: int, seed: int, report: Report, root: Path) -> None:
    """In each mode a part of the rounds; the modes at once, each in a process of its own."""
    parts = [
        (mode, len(range(number, rounds, len(MODES))), f"{seed}-{mode}", root / mode)
        for number, mode in enumerate(MODES)
    ]
    context = multiprocessing.get_context("spawn")
    with lanes(_run_mode, [part for part in parts if part[1]], context) as outcomes:
        for outcome in outcomes:
            report.rounds += outcome.rounds
            report.violations += outcome.violations
            report.numbers.update(outcome.numbers)


def _run_mode(mode: str, rounds: int, seed: str, root: Path, end: Connection) -> None:
    """A lane's process: every scenario in turn, in random order. What breaks it is a violation."""
    rng = random.Random(seed)
    report = Report("zombie", 0)
    root.mkdir()
    try:
        with Succession(root, durability=mode) as shard:
            zombie = Zombie(shard, rng, report)
            scenarios: list[str] = []
            for _ in range(rounds):
                scenarios = scenarios or rng.sample(SCENARIOS, len(SCENARIOS))
                zombie.round(scenarios.pop())
    except Exception as error:
        traceback.print_exc()
        report.round(f"{mode} broke", [f"{type(error).__name__}: {error}"])
    end.send(report)


def rounds_to_catch(overlay: Path, seed: int, root: Path) -> int:
    """Rounds until caches that outlive an epoch are found out; 0 = they were not within MUTANT_ROUNDS."""
    rng = random.Random(seed)
    report = Report("zombie-mutant", seed)
    with Succession(root, environment=mutant.environment(overlay, KEEP_EPOCH)) as shard:
        zombie = Zombie(shard, rng, report)
        for number in range(1, MUTANT_ROUNDS + 1):
            zombie.round("plain")
            if report.violations:
                return number
    return 0


def did_damage(report: Report) -> bool:
    """Old primaries woke up before and after the new ones served, and enough was lost."""
    numbers: Counter[str] = report.numbers
    woke = numbers["resumed_before_service"] > 0 and numbers["resumed_after_service"] > 0
    return woke and numbers["rounds_with_loss"] >= ENOUGH_LOSS * numbers["rounds_async"]


def main() -> int:
    """Exit code 0 only when nothing was violated and the takeovers did damage."""
    asked = options("zombie")
    report = Report("zombie", asked.seed)
    started = time.monotonic()
    overlay = mutant.build()
    with tempfile.TemporaryDirectory(prefix="aidb-zombie-") as directory:
        run(asked.rounds, asked.seed, report, Path(directory))
    with tempfile.TemporaryDirectory(prefix="aidb-zombie-") as directory:
        caught = rounds_to_catch(overlay, asked.seed, Path(directory))
    told = {f"{KEEP_EPOCH}_caught_in_round": caught, "seconds": round(time.monotonic() - started)}
    print(report.last_line(**told))
    return report.exit_code(asked.rounds, holds=caught > 0 and did_damage(report))


if __name__ == "__main__":
    sys.exit(main())
