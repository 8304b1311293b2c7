"""Does what a lost process, power or disk leaves contain everything that the mode promised, and is it a
prefix of commit order?

Several lanes of real processes run clusters of one shard, one after the other (`lane.py`); every round
writes with concurrent clients, kills the primary at a random moment, brings it back in place or from the
object store into an empty directory, and checks what it has (`tests/checkers/recovered.py`). Stores fail
meanwhile: a real S3 server behind a proxy, and a directory with the same faults within the process.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from pathlib import Path

from tests.evidence import mutant
from tests.evidence.durability.lane import Outcome, lane
from tests.evidence.durability.plan import LONG_ROUNDS, Cluster, Mode, Store, clusters, liars
from tests.evidence.durability.programs import Nursery
from tests.evidence.durability.stores import server
from tests.evidence.lanes import lanes
from tests.evidence.report import Report, options

LANES = 3
MODES = tuple(Mode)
# Parts of all rounds, and of those of the mode, below which a run proves nothing.
DROPPING = 0.3
LOSING = 0.1
# Below so many rounds chance decides.
ENOUGH_ROUNDS = 20


def run(
    rounds: int,
    seed: int,
    report: Report,
    *,
    environment: Mapping[str, str],
    stores: tuple[Store, ...],
    volatile_disks: bool,
    lanes: int = LANES,
) -> None:
    """``environment`` names the build."""
    plan = clusters(rounds, random.Random(seed), stores, MODES)
    with tempfile.TemporaryDirectory(prefix="aidb-durability-") as name:
        root = Path(name)
        with server(root, wanted=any(cluster.store is not Store.FILE for cluster in plan)) as s3:
            parts = [plan[number::lanes] for number in range(min(lanes, len(plan)))]
            with _running(parts, root, environment, s3, volatile_disks) as outcomes:
                for outcome in outcomes:
                    report.round(outcome.did, outcome.violations)
                    report.numbers.update(outcome.numbers)


def liars_found(environment: Mapping[str, str], seed: int) -> int:
    """How many of the clusters that break their promises are caught."""
    found = set()
    with tempfile.TemporaryDirectory(prefix="aidb-durability-") as name:
        parts = [[liar] for liar in liars(seed)]
        with _running(parts, Path(name), environment, "", volatile=True) as outcomes:
            for outcome in outcomes:
                said, judged, _ = outcome.did.partition(" lost=")
                if judged and outcome.violations and said not in found:
                    found.add(said)
                    print(f"{said}: found, {outcome.violations[0]}", flush=True)
    return len(found)


def _running(
    parts: Sequence[Sequence[Cluster]], root: Path, environment: Mapping[str, str], s3: str, volatile: bool
) -> AbstractContextManager[Iterator[Outcome]]:
    given = [(part, root / f"lane-{number}", environment, s3, volatile) for number, part in enumerate(parts)]
    return lanes(_work, given, multiprocessing.get_context("fork"))


def _work(
    part: Sequence[Cluster],
    root: Path,
    environment: Mapping[str, str],
    s3: str,
    volatile: bool,
    end: Connection,
) -> None:
    """A lane's process. What breaks a cluster is a violation; the next one is another."""
    root.mkdir()
    for number, cluster in enumerate(part):
        try:
            with (
                Nursery(root / "primary.log", environment) as nursery,
                lane(cluster, root / f"{root.name}-{number}", nursery, environment, s3) as running,
            ):
                for outcome in running.rounds(volatile):
                    end.send(outcome)
        except Exception as error:
            traceback.print_exc()
            end.send(Outcome(f"{cluster} broke", [f"{type(error).__name__}: {error}"]))


def did_damage(rounds: int, numbers: Counter[str], *, volatile_disks: bool = True) -> bool:
    """The clusters that lie were caught, enough was dropped and lost, and the stores failed in each way."""
    if not numbers["acknowledged"] or not numbers["promised"]:
        return False
    if volatile_disks and numbers["liars_found"] < len(liars(0)):
        return False
    if rounds >= ENOUGH_ROUNDS:
        if volatile_disks and numbers["rounds_that_dropped"] < DROPPING * rounds:
            return False
        if numbers["rounds_losing_async"] < LOSING * numbers["rounds_async"]:
            return False
    kinds = [kind for kind in ("error", "slow", "conflict", "lost_answer") if not numbers[f"faults_{kind}"]]
    return rounds < LONG_ROUNDS or not kinds


def main() -> int:
    """Exit code 0 only when nothing was violated and the losses did damage."""
    asked = options("durability")
    report = Report("durability", asked.seed)
    started = time.monotonic()
    environment = {"PYTHONPATH": str(mutant.build())}
    stores = (Store.FILE, Store.S3)
    report.numbers["liars_found"] = liars_found(environment, asked.seed)
    run(asked.rounds, asked.seed, report, environment=environment, stores=stores, volatile_disks=True)
    print(report.last_line(seconds=round(time.monotonic() - started)))
    return report.exit_code(asked.rounds, holds=did_damage(asked.rounds, report.numbers))


if __name__ == "__main__":
    sys.exit(main())
