"""What a program may cost while it is abused, and that it costs nothing more afterwards."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.abuse.targets import Cluster
from tests.coordinator.process import until

# The limits of admission (node/src/serve/options.rs): bytes of requests and answers in flight.
IN_FLIGHT = 256 << 20
# What one connection may cost beyond them: its buffers, and what is known of its streams.
CONNECTION = 256 << 10
# Threads are started and caches filled by use; the allocator keeps what was freed.
SLACK = 96 << 20
# Threads of the servers' pools come and go with use; these do not.
_LASTING = ("serve-", "control", "aidb-")
# As many as there may be scans idle for a while.
_THREADS, _FILES = 72, 16
_SAMPLE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a process."""

    resident: int
    files: int
    threads: int
    # Names of those that run as long as the program.
    lasting: frozenset[str]

    @classmethod
    def of(cls, pid: int) -> Cost:
        process = Path(f"/proc/{pid}")
        names = []
        for task in (process / "task").iterdir():
            # One that ends meanwhile.
            with contextlib.suppress(OSError):
                names.append((task / "comm").read_text().strip())
        return cls(
            resident(pid),
            len(list((process / "fd").iterdir())),
            len(names),
            frozenset(name for name in names if name.startswith(_LASTING)),
        )


def resident(pid: int) -> int:
    """Bytes of memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


class Watch:
    """The highest memory of each process while the block runs."""

    def __init__(self, processes: dict[str, int]) -> None:
        self._processes = processes
        self.before = {name: Cost.of(pid) for name, pid in processes.items()}
        self.peak = {name: cost.resident for name, cost in self.before.items()}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def growth(self, name: str) -> int:
        """Bytes."""
        return self.peak[name] - self.before[name].resident

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_SECONDS):
            for name, pid in self._processes.items():
                # One that died is found by who asks whether all run.
                with contextlib.suppress(OSError):
                    self.peak[name] = max(self.peak[name], resident(pid))


@contextlib.contextmanager
def unharmed(cluster: Cluster, connections: int, in_flight: bool = False) -> Iterator[Watch]:
    """Around abuse by ``connections`` connections to each port: everything lives and serves, memory stays
    within the limits, and when the bad clients are gone, so are their files and threads.

    ``in_flight``: whether they were let in with requests, so that the limits of admission are theirs to
    fill.
    """
    bound = SLACK + connections * CONNECTION + (IN_FLIGHT if in_flight else 0)
    with Watch(cluster.processes) as watch:
        yield watch
    assert cluster.running()
    for target in cluster.targets:
        target.serves()
    for name, pid in cluster.processes.items():
        print(f"{name}: grew by {watch.growth(name) >> 10} KiB of {bound >> 10} KiB")
        assert watch.growth(name) < bound, name
        until(_back(pid, watch.before[name]), seconds=60.0)


def _back(pid: int, before: Cost) -> Callable[[], bool]:
    """Files and threads as before, give or take connections between the programs and what ran by chance."""

    def back() -> bool:
        now = Cost.of(pid)
        return (
            now.files <= before.files + _FILES
            and now.threads <= before.threads + _THREADS
            and before.lasting <= now.lasting
        )

    return back
