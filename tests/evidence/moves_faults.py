"""What happens to the programs while slots move, and when."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from aidb.v1 import cluster_pb2 as pb
from tests.evidence.moves_cluster import FaultyCluster

# By chance, or as soon as a move is seen at that step; FENCED is the document's, the others the target's.
FENCED = "fenced"
STEPS = ("copying", "catching up", "comparing", "archiving", "ready", FENCED, "draining")
MOMENTS = ("by chance", "by chance", *STEPS, FENCED)
LONGEST_DELAY = 0.8
LONGEST_STOP = 4.0
_NEVER_COMES = 2.5
_ENDED = ("committed", "cancelled", "failed")
LOSSY = "messages"


@dataclass(frozen=True, slots=True)
class Fault:
    """`name` is what is counted."""

    name: str
    moment: str
    delay: float


@dataclass(slots=True)
class Scene:
    """Of the first move of a round."""

    cluster: FaultyCluster
    rng: random.Random
    numbers: Counter[str]
    move_id: str
    source: int
    target: int

    def primary(self, whom: str) -> int:
        return self.source if whom == "source" else self.target

    def step(self) -> str:
        """Where the move is: a step of its target, FENCED, or how it ended."""
        status = self.cluster.status(self.move_id)
        if status is None:
            return ""
        drains = status.progress.step in ("draining", "drained")
        if status.move.step == FENCED:
            return "draining" if drains else FENCED
        return status.progress.step if status.move.step == "prepared" else status.move.step


def draw(rng: random.Random, flooded: bool) -> list[Fault]:
    """One or two, in their order."""
    names = [name for name in FAULTS if not (flooded and name == "cancel")]
    return [
        Fault(rng.choice(names), rng.choice(MOMENTS), rng.uniform(0.0, LONGEST_DELAY))
        for _ in range(rng.choice((1, 1, 1, 2)))
    ]


def carry_out(fault: Fault, scene: Scene) -> str:
    """When it is over, says when it came; empty = the move was over before it could."""
    if scene.step() in _ENDED:
        return ""
    step = _await(fault, scene)
    scene.numbers[fault.name.replace(" ", "_").replace("-", "_")] += 1
    if fault.name != "nothing":
        place = "ended" if step in _ENDED else step or "unknown"
        scene.numbers[f"faults_while_{place.replace(' ', '_')}"] += 1
    what, _, whom = fault.name.partition(" ")
    _ACTS[what](scene, whom)
    return f"{fault.name} while {step or '?'}"


def _await(fault: Fault, scene: Scene) -> str:
    if fault.moment == "by chance":
        time.sleep(fault.delay)
        return scene.step()
    ends = time.monotonic() + _NEVER_COMES
    while (step := scene.step()) != fault.moment and step not in _ENDED and time.monotonic() < ends:
        time.sleep(0.002)
    return step


def _nothing(scene: Scene, whom: str) -> None:
    pass


def _cancel(scene: Scene, whom: str) -> None:
    try:
        scene.cluster.coordinator.coordination.CancelMove(pb.CancelMoveRequest(id=scene.move_id), timeout=10)
    except grpc.RpcError as failed:
        raise AssertionError(f"cancel: {failed}") from failed


def _lose(scene: Scene, whom: str) -> None:
    shard = scene.primary(whom)
    scene.cluster.nodes[shard].kill()
    scene.cluster.succeed(shard, planned=False)


def _hand_over(scene: Scene, whom: str) -> None:
    scene.cluster.succeed(scene.primary(whom), planned=True)


def _kill(scene: Scene, whom: str) -> None:
    """kill -9; once in a while the coordinator as well."""
    both = scene.rng.random() < 0.2
    if both or whom == "coordinator":
        scene.cluster.coordinator.kill()
    if whom != "coordinator":
        scene.cluster.nodes[scene.primary(whom)].kill()
    if both or whom == "coordinator":
        scene.numbers["killed_together"] += both and whom != "coordinator"
        scene.cluster.restart_coordinator()
    if whom != "coordinator":
        scene.cluster.restart(scene.primary(whom))


def _stop(scene: Scene, whom: str) -> None:
    process = scene.cluster.coordinator.process
    if whom != "coordinator":
        process = scene.cluster.nodes[scene.primary(whom)].process
    process.send_signal(signal.SIGSTOP)
    time.sleep(scene.rng.uniform(0.2, LONGEST_STOP))
    process.send_signal(signal.SIGCONT)


def _messages(scene: Scene, whom: str) -> None:
    meddlers = scene.cluster.meddlers()
    for meddler in meddlers:
        meddler.chance = scene.rng.uniform(0.1, 0.5)
    time.sleep(scene.rng.uniform(1.0, LONGEST_STOP))
    for meddler in meddlers:
        meddler.chance = 0.0


def _partition(scene: Scene, whom: str) -> None:
    """Nothing gets through for a while; what was said meanwhile comes late, or is lost with connections."""
    cluster = scene.cluster
    match whom:
        case "target":
            links = cluster.between(scene.source, scene.target)
        case "source-coordinator":
            links = cluster.to_the_coordinator(scene.source)
        case _:
            links = cluster.to_the_coordinator(scene.target)
    for proxy, owner in links:
        proxy.hold(owner)
    time.sleep(scene.rng.uniform(0.2, LONGEST_STOP))
    loses = scene.rng.random() < 0.5
    for proxy, owner in links:
        if loses:
            scene.numbers["connections_cut"] += proxy.cut(owner)
        held = proxy.release(owner)
        scene.numbers["chunks_lost" if loses else "chunks_late"] += held


def _cut(scene: Scene, whom: str) -> None:
    """Connections break, again and again."""
    ends = time.monotonic() + scene.rng.uniform(0.5, 2.0)
    while time.monotonic() < ends:
        links = scene.cluster.between(scene.source, scene.target)
        links += scene.cluster.to_the_coordinator(scene.target)
        for proxy, owner in links:
            scene.numbers["connections_cut"] += proxy.cut(owner)
        time.sleep(scene.rng.uniform(0.05, 0.4))


def _fill_disk(scene: Scene, whom: str) -> None:
    disk = scene.cluster.disks[scene.primary(whom)]
    before = _told_of_full_disk(scene)
    ends = time.monotonic() + scene.rng.uniform(1.0, LONGEST_STOP)
    while time.monotonic() < ends:
        # What a flush or a compaction gives back is taken as well.
        disk.fill()
        time.sleep(0.05)
    disk.free()
    scene.numbers["refused_by_full_disk"] += _told_of_full_disk(scene) - before


def _told_of_full_disk(scene: Scene) -> int:
    text = "".join(log.read_text() for log in scene.cluster.logs())
    return text.count("No space left") + text.count("DISK_FULL")


_ACTS: dict[str, Callable[[Scene, str], None]] = {
    "nothing": _nothing,
    "cancel": _cancel,
    "kill": _kill,
    "stop": _stop,
    "lose": _lose,
    "hand-over": _hand_over,
    LOSSY: _messages,
    "partition": _partition,
    "cut": _cut,
    "fill-disk": _fill_disk,
}
_PRIMARIES = ("source", "target")
FAULTS = (
    "nothing",
    "cancel",
    LOSSY,
    LOSSY,
    "cut",
    *(f"{what} {whom}" for what in ("kill", "stop") for whom in (*_PRIMARIES, "coordinator")),
    *(f"{what} {whom}" for what in ("lose", "hand-over") for whom in _PRIMARIES),
    *(f"partition {whom}" for whom in ("target", "source-coordinator", "target-coordinator")),
    "fill-disk target",
    "fill-disk target",
)
COUNTED = tuple(dict.fromkeys(name.replace(" ", "_").replace("-", "_") for name in FAULTS))
