"""What a run does, drawn from its seed before anything is started; and what each mode promises."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

ROUNDS_PER_CLUSTER = 10
# From so many rounds on, a run has each of the special clusters once.
LONG_ROUNDS = 200
LONG_LEASE_ROUNDS = 20
LIAR_ROUNDS = 10


class Mode(StrEnum):
    """Durability of a cluster."""

    ASYNC = "async"
    REPLICA = "replica"
    ARCHIVED = "archived"


class Sync(StrEnum):
    """When the primary's log is synced."""

    GROUP = "group"
    INTERVAL = "interval"
    NONE = "none"


class Store(StrEnum):
    """The second copy's store. Both have the same faults; UNFENCED ignores conditions of creates."""

    FILE = "file"
    S3 = "s3"
    UNFENCED = "unfenced"


class Loss(StrEnum):
    """What is gone when a round ends."""

    PROCESS = "process"  # killed; the kernel keeps what was written
    POWER = "power"  # and everything that was not synced
    DISK = "disk"  # all of it


class Trouble(StrEnum):
    """Of the store, while a round lasts."""

    NONE = "none"
    ERROR = "error"
    SLOW = "slow"
    CONFLICT = "conflict"
    LOST_ANSWER = "lost_answer"
    MIXED = "mixed"
    AWAY = "away"


_TROUBLES = [kind for kind in Trouble if kind is not Trouble.NONE]


@dataclass(frozen=True, slots=True)
class Cluster:
    """``lease`` in seconds. lies: it is run as `async` and without syncs, whatever it is judged by: the
    checks have to notice.
    """

    mode: Mode
    sync: Sync
    store: Store
    lease: float
    rounds: int
    seed: int
    lies: bool = False

    def __str__(self) -> str:
        return f"{'a liar, ' if self.lies else ''}{self.mode}/{self.sync}/{self.store}/T={self.lease:.0f}s"


@dataclass(frozen=True, slots=True)
class Round:
    """volatile: the primary's disk forgets at the kill what was not synced; early: percent of its writes that
    get through nevertheless. trouble_after, window: seconds from when the process serves, and of writing;
    trouble_after None: from its start. probes: the process finds out what its store refuses, by some fifty
    calls; else it is told. archiving: the window begins when the second copy is at work.
    snapshot: one is asked for. killed_starting: seconds into its next start the primary is killed once more;
    0 = not. broken_restore: the restore fails in the middle, and is done again. looked_aside: the second copy
    is restored elsewhere as well, and looked at.
    """

    loss: Loss
    volatile: bool
    early: int
    trouble: Trouble
    trouble_after: float | None
    window: float
    probes: bool
    archiving: bool
    snapshot: bool
    killed_starting: float
    broken_restore: bool
    looked_aside: bool


def promised(mode: Mode, sync: Sync, loss: Loss) -> bool:
    """Whether everything acknowledged has to be there."""
    if loss is Loss.PROCESS or mode is not Mode.ASYNC:
        return True
    if loss is Loss.POWER:
        return sync is Sync.GROUP
    return False


def clusters(
    rounds: int, rng: random.Random, stores: tuple[Store, ...], modes: tuple[Mode, ...]
) -> list[Cluster]:
    """Clusters for so many rounds in all; short ones have a lease of a second."""
    made: list[Cluster] = []

    def add(store: Store, lease: float, most: int) -> None:
        left = rounds - sum(cluster.rounds for cluster in made)
        number = len(made)
        sync = (Sync.GROUP, Sync.INTERVAL, Sync.GROUP, Sync.NONE)[number // len(modes) % 4]
        mode = modes[number % len(modes)]
        made.append(Cluster(mode, sync, store, lease, min(most, left), rng.randrange(2**32)))

    if rounds >= LONG_ROUNDS:
        add(rng.choice(stores), 10.0, LONG_LEASE_ROUNDS)
        if Store.S3 in stores:
            add(Store.UNFENCED, 1.0, ROUNDS_PER_CLUSTER)
    while sum(cluster.rounds for cluster in made) < rounds:
        add(stores[len(made) % len(stores)], 1.0, ROUNDS_PER_CLUSTER)
    return made


def liars(seed: int) -> list[Cluster]:
    """One whose syncs do nothing, one that does not wait for the store."""
    return [
        Cluster(mode, Sync.GROUP, Store.FILE, 1.0, LIAR_ROUNDS, seed, lies=True)
        for mode in (Mode.ASYNC, Mode.ARCHIVED)
    ]


def drawn(cluster: Cluster, rng: random.Random, volatile_disks: bool) -> Iterator[Round]:
    """One after the other, without end. ``volatile_disks``: there is a build that has them."""
    first = True
    while True:
        volatile = volatile_disks and rng.random() < 0.8
        lost = rng.random() < 0.35
        loss = Loss.DISK if lost else Loss.POWER if volatile else Loss.PROCESS
        troubled = not first and rng.random() < 0.6
        trouble = rng.choice(_TROUBLES) if troubled else Trouble.NONE
        # Where readers wait for the store (C6), nothing could be looked at meanwhile.
        early_trouble = rng.random() < 0.25 and cluster.mode is Mode.ASYNC
        yield Round(
            loss=loss,
            volatile=volatile,
            early=rng.choice((0, 20, 60)),
            trouble=trouble,
            trouble_after=None if early_trouble else rng.uniform(0.0, 0.5),
            window=rng.uniform(0.02, 0.5),
            probes=rng.random() < 0.25,
            archiving=rng.random() < 0.8,
            snapshot=rng.random() < 0.3,
            killed_starting=rng.uniform(0.0, 0.3) if rng.random() < 0.2 else 0.0,
            broken_restore=rng.random() < 0.25,
            looked_aside=not lost and rng.random() < 0.25,
        )
        first = False
