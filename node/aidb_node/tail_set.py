"""Who keeps the un-archived end of a primary's log (D5): `plan` decides, `TailSetKeeper` asks the
coordinator.

What may be asked for is checked again where it matters: by the native side (nothing acknowledged is lost by
the change) and by the coordinator (replicas of this shard, on nodes that fail apart).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aidb.errors import AidbError
from aidb.v1 import common_pb2 as common
from aidb_node.logs import Log

# Who does not confirm what is on the primary's disk for so long, or is away, is silent.
SILENT_MS = 2_000
# How often it is looked, in seconds: where writes wait for the set, and where they do not.
_LOOK = 0.25
_LOOK_RARELY = 2.0
_TIMEOUT = 2.0


class Follower(Protocol):
    """See `_native.Follower`."""

    @property
    def name(self) -> str: ...
    @property
    def node(self) -> str: ...
    @property
    def member(self) -> bool: ...
    @property
    def required(self) -> bool: ...
    @property
    def connected(self) -> bool: ...
    @property
    def behind_ms(self) -> int: ...
    @property
    def away_ms(self) -> int: ...


class TailStatus(Protocol):
    """See `_native.TailStatus`."""

    @property
    def mode(self) -> int: ...
    @property
    def node(self) -> str: ...
    @property
    def promised_lsn(self) -> int: ...
    @property
    def covered(self) -> bool: ...
    @property
    def followers(self) -> Sequence[Follower]: ...


class Primary(Protocol):
    """The part of the native `Server` that is needed."""

    def tail_status(self) -> TailStatus: ...
    def set_tail_set(self, members: list[str], timeout: float) -> None: ...
    def want_archived(self, lsn: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """``members``: how many a cluster of mode `replica` wants. ``same_node``: they need not be on other
    nodes.
    """

    members: int = 1
    same_node: bool = False


def plan(status: TailStatus, policy: Policy) -> list[str] | None:
    """The set to ask for; None = the present one will do, or has to."""
    wanted = policy.members if status.mode == common.DURABILITY_REPLICA else 0
    staying = [one for one in status.followers if one.member and not _silent(one)][:wanted]
    members = [one.name for one in staying]
    nodes = {status.node, *(one.node for one in staying)}
    for one in status.followers:
        apart = policy.same_node or one.node not in nodes
        if len(members) < wanted and not one.member and not _silent(one) and one.connected and apart:
            members.append(one.name)
            nodes.add(one.node)
    present = {one.name for one in status.followers if one.member}
    # Writes wait for whoever is required, though the document may not name it.
    required = {one.name for one in status.followers if one.required}
    if required - set(members) and not status.covered:
        # They leave when the archive has what they have (D4), and nobody comes before: it would not help.
        return None
    return None if set(members) == present == required else members


def _silent(follower: Follower) -> bool:
    return max(follower.behind_ms, follower.away_ms) > SILENT_MS


class TailSetKeeper:
    """A thread that looks and asks, from `start` to `close`."""

    def __init__(self, primary: Primary, policy: Policy, log: Log) -> None:
        self._primary = primary
        self._policy = policy
        self._log = log
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tail set", daemon=True)
        self._told = ""

    def start(self) -> None:
        """Idempotent."""
        if not self._thread.is_alive() and not self._stop.is_set():
            self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * _TIMEOUT)

    def _run(self) -> None:
        pause = _LOOK
        while not self._stop.wait(pause):
            status = self._primary.tail_status()
            busy = status.mode == common.DURABILITY_REPLICA or any(one.required for one in status.followers)
            pause = _LOOK if busy else _LOOK_RARELY
            members = plan(status, self._policy)
            if members is not None:
                self._ask(members)
            elif any(one.required and _silent(one) for one in status.followers):
                # Writes wait for who does not answer: the sooner it may leave, the better.
                self._primary.want_archived(status.promised_lsn)

    def _ask(self, members: list[str]) -> None:
        try:
            self._primary.set_tail_set(members, _TIMEOUT)
        except AidbError as error:
            if str(error) != self._told:
                self._told = str(error)
                self._log.warning("the tail set stays as it is", wanted=",".join(members), reason=error)
            return
        self._told = ""
        self._log.info("the tail set is another", members=",".join(members) or "none")
