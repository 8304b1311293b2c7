"""Do all programs live, serve others and stay within their limits, whatever clients do on any port?

Each round besieges a coordinator, a primary, a replica and a router in one way, with hundreds to thousands of
bad connections, while a polite client calls each port all the time. Every polite call has to succeed; no
program may end, panic, grow beyond its limits or keep anything of the bad clients when they are gone.
"""

from __future__ import annotations

import random
import resource
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.abuse import readers, senders
from tests.abuse.bounds import unharmed
from tests.abuse.calls import judge
from tests.abuse.floods import FLOODS, flood
from tests.abuse.garbage import pester
from tests.abuse.http2 import Connection, connect, ended
from tests.abuse.messages import SERVED, crafted, hostile, methods
from tests.abuse.namespace import Namespace
from tests.abuse.targets import ROLES, Cluster, Target
from tests.evidence.report import Report, options
from tests.threads import Threads

PATIENCE_SECONDS = 3
MOST_CONNECTIONS = 2_000
MANY, SOME, FEW = 3_000, 300, 40
POLITE_PAUSE = 0.02
_LONG = {**dict.fromkeys(ROLES, (readers.long_pipeline,)), "coordinator": ()}
# After so many rounds each kind of siege has been there.
ENOUGH_ROUNDS = 10


class Polite(Threads):
    """Clients that ask each port in turn, all the time."""

    def __init__(self, targets: list[Target]) -> None:
        super().__init__()
        self.calls = 0
        self.slowest = 0.0
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(target,)) for target in targets]

    def _ask(self, target: Target) -> None:
        while not self._stop.wait(POLITE_PAUSE):
            began = time.monotonic()
            try:
                target.serves()
            except Exception as failed:
                self.failures.append(f"{target.name}: {failed!r}")
            self.calls += 1
            self.slowest = max(self.slowest, time.monotonic() - began)


class Abuse:
    """The programs, and each way to besiege them. A siege returns the connections that it holds."""

    def __init__(self, cluster: Cluster, rng: random.Random, far: Namespace | None) -> None:
        self.cluster = cluster
        self._rng = rng
        self._far = far
        self._grpc = [target for target in cluster.targets if target.speaks_grpc]
        self._http = [target for target in cluster.targets if not target.speaks_grpc]

    def sieges(self) -> dict[str, Callable[[], list[socket.socket]]]:
        """By name."""
        found = {
            "garbage": self._garbage,
            "flood": self._flood,
            "unread": self._unread,
            "uploads": self._uploads,
            "greetings": self._greetings,
            "connections": self._connections,
            "drip": self._drip,
            "scrapes": self._scrapes,
            "messages": self._messages,
        }
        return {**found, "vanished": self._vanished} if self._far else found

    def _garbage(self) -> list[socket.socket]:
        return [
            held for target in self.cluster.targets for held in pester(target.address, self._rng, 2 * SOME)
        ]

    def _flood(self) -> list[socket.socket]:
        kind = self._rng.choice(FLOODS)
        return [
            flood(target.address, kind, self._rng, 50_000).socket for target in self._grpc for _ in range(4)
        ]

    def _unread(self) -> list[socket.socket]:
        held = []
        for _ in range(FEW):
            target = self._rng.choice(self._grpc)
            ask, window = (
                self._rng.choice((*readers.OF[target.name], *_LONG[target.name])),
                self._rng.choice((0, 1, 70_000, 2**31 - 1)),
            )
            held.append(readers.unread(target.address, ask, 16, window).socket)
        return held

    def _uploads(self) -> list[socket.socket]:
        held: list[Connection] = []
        for target in self._grpc:
            held += [senders.uploads(target.address, self._rng, 7, 1 << 20) for _ in range(2 * FEW)]
            held += [senders.unended(target.address, self._rng, 100) for _ in range(FEW)]
        return [connection.socket for connection in held]

    def _greetings(self) -> list[socket.socket]:
        return [senders.preface(target.address, self._rng) for target in self._grpc for _ in range(2 * SOME)]

    def _connections(self) -> list[socket.socket]:
        return [connect(self.cluster.target(role).address) for role in ROLES for _ in range(MANY)]

    def _drip(self) -> list[socket.socket]:
        """A byte at a time, for twice as long as a greeting may take."""
        held = [connect(target.address) for target in self._grpc for _ in range(SOME)]
        end = time.monotonic() + 4 * PATIENCE_SECONDS
        while time.monotonic() < end and senders.drip(held):
            time.sleep(PATIENCE_SECONDS / 4)
        return held

    def _scrapes(self) -> list[socket.socket]:
        return [senders.http(target.address, self._rng) for target in self._http for _ in range(SOME)]

    def _messages(self) -> list[socket.socket]:
        known = {method.path: method for method in methods()}
        calls = [(known[path], message.SerializeToString()) for path, message in crafted()]
        calls += [(method, raw) for method in methods() for raw in hostile(method.request, self._rng, 10)]
        for target in self._grpc:
            asked = [call for call in calls if target.name in SERVED[call[0].service]]
            problems = judge(target, asked)
            assert not problems, problems
        return []

    def _vanished(self) -> list[socket.socket]:
        """Silent and busy peers on a cable that is cut; they are held until the servers have let them go."""
        assert self._far is not None
        held = self._far.run(
            lambda: [
                *(connect(target.address) for target in self.cluster.targets for _ in range(FEW)),
                *(Connection(target.address).socket for target in self._grpc for _ in range(FEW)),
                *(self._busy(target) for target in self._grpc for _ in range(FEW)),
            ]
        )
        self._far.cut()
        return held

    def _busy(self, target: Target) -> socket.socket:
        return readers.unread(target.address, self._rng.choice(readers.OF[target.name]), 2, 0).socket


def _round(abuse: Abuse, name: str, report: Report, far: Namespace | None) -> None:
    cluster, numbers = abuse.cluster, report.numbers
    before = {role: cluster.stats(role).connections for role in ROLES}
    violations: list[str] = []
    held: list[socket.socket] = []
    connections = {"connections": MOST_CONNECTIONS}.get(name, 3 * SOME)
    polite = Polite(cluster.targets)
    try:
        with unharmed(cluster, connections, in_flight=True) as watch, polite:
            growth = watch.growth
            held = abuse.sieges()[name]()
            end = time.monotonic() + 3 * PATIENCE_SECONDS
            while time.monotonic() < end and not all(ended(each) for each in held):
                time.sleep(0.1)
            if name != "vanished":
                for connection in held:
                    connection.close()
    except AssertionError as failed:
        violations.append(str(failed))
    if far and name == "vanished":
        far.mend()
    for connection in held:
        connection.close()
    violations += polite.failures
    if "panicked" in cluster.last_words():
        violations.append("a program panicked; its log says where")
    after = {role: cluster.stats(role).connections for role in ROLES}
    refused = sum(after[role].refused - before[role].refused for role in ROLES)
    overdue = sum(after[role].overdue - before[role].overdue for role in ROLES)
    grown = max(map(growth, cluster.processes)) >> 20
    report.round(
        f"siege={name} connections={len(held)} refused={refused} overdue={overdue} grew_mib={grown} "
        f"polite_calls={polite.calls} slowest_polite={polite.slowest:.2f}s",
        violations,
    )
    numbers[f"rounds_{name}"] += 1
    numbers["bad_connections"] += len(held)
    numbers["refused"] += refused
    numbers["overdue"] += overdue
    numbers["polite_calls"] += polite.calls
    numbers["most_growth_mib"] = max(numbers["most_growth_mib"], grown)
    numbers["slowest_polite_ms"] = max(numbers["slowest_polite_ms"], round(polite.slowest * 1000))


@contextmanager
def running(rng: random.Random) -> Iterator[tuple[Abuse, Namespace | None]]:
    """The programs; all gone at the end."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        far = None
        if missing := Namespace.why_not():
            print(f"no peers can be made to vanish here: {missing}", flush=True)
        else:
            far = stack.enter_context(Namespace())
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix="aidb-abuse-"))
        cluster = Cluster(
            Path(data),
            *("--client-patience", str(PATIENCE_SECONDS), "--max-connections", str(MOST_CONNECTIONS)),
            host=far.here if far else "127.0.0.1",
        )
        stack.callback(cluster.close)
        readers.prepare(cluster)
        yield Abuse(cluster, rng, far), far


def run(rounds: int, seed: int, report: Report) -> None:
    """Every kind of siege in turn, in random order."""
    rng = random.Random(seed)
    with running(rng) as (abuse, far):
        names: list[str] = []
        for _ in range(rounds):
            names = names or rng.sample(sorted(abuse.sieges()), len(abuse.sieges()))
            _round(abuse, names.pop(), report, far)


def did_damage(numbers: Counter[str], rounds: int) -> bool:
    """There were bad clients and polite ones; in long runs limits were reached and patience ended."""
    hit = numbers["bad_connections"] > 0 and numbers["polite_calls"] > 0
    return hit and (rounds < ENOUGH_ROUNDS or (numbers["refused"] > 0 and numbers["overdue"] > 0))


def main() -> int:
    """Exit code 0 only when nothing was violated and the sieges were some."""
    asked = options("abuse")
    report = Report("abuse", asked.seed)
    started = time.monotonic()
    run(asked.rounds, asked.seed, report)
    print(report.last_line(seconds=round(time.monotonic() - started)))
    return report.exit_code(asked.rounds, holds=did_damage(report.numbers, asked.rounds))


if __name__ == "__main__":
    sys.exit(main())
