"""What the members of a tail set hold beyond the cut of the archive (D3, D5), for who takes a shard over.

A write of mode `replica` was acknowledged when every member had it, so any one of them knows all of them:
if it has no gap between the cut and its end, and has caught up since it last began anew (t40-t42). All that
answer are sealed all the same, so that the old primary finds nobody to confirm its writes.

`seal_tails` talks to them, `choose` decides, `append` takes what is beyond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc

from aidb.durability.loss import Loss, Lossy
from aidb.v1 import replication_pb2 as pb
from aidb.v1.replication_pb2_grpc import TailStub
from aidb_node import _native

_AT_ONCE = 8
Options = Sequence[tuple[str, int]]
# A message has one record more than it is meant to have bytes of.
_OPTIONS: Options = (("grpc.max_receive_message_length", 128 << 20),)
_FOREVER = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Run:
    """A chain of records that follow ``start_lsn``, the last of which is ``last_lsn``; ``chunks`` have them
    as the archive does.
    """

    start_lsn: int
    last_lsn: int
    complete: bool
    chunks: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class SealedTail:
    """Of one member. ``problem``: why it could not be sealed; empty = it was."""

    name: str
    runs: tuple[Run, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """``run`` None: no member has anything beyond the cut."""

    name: str
    run: Run | None


def seal_tails(
    members: Sequence[tuple[str, str]],
    connect: Callable[[str, Options], grpc.Channel],
    *,
    cluster_uid: str,
    shard: int,
    epoch: int,
    timeout: float,
) -> list[SealedTail]:
    """Seals the members (name, address; without an address it is not known where they are) for the taker's
    ``epoch``, all at once. Never raises for one that cannot be reached within ``timeout`` seconds: the
    answer says so.
    """
    request = pb.SealTailRequest(cluster_uid=cluster_uid, shard=shard, epoch=epoch)

    def one(member: tuple[str, str]) -> SealedTail:
        name, address = member
        if not address:
            return SealedTail(name, problem="it is no replica of the shard any more")
        channel = connect(address, _OPTIONS)
        try:
            return SealedTail(name, tuple(_runs(TailStub(channel).Seal(request, timeout=timeout))))
        except grpc.RpcError as error:
            return SealedTail(name, problem=f"{address}: {error.details()}")
        finally:
            channel.close()

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="seal") as pool:
        return list(pool.map(one, members))


def _runs(answers: Iterator[pb.SealTailResponse]) -> Iterator[Run]:
    head: pb.SealTailResponse | None = None
    chunks: list[bytes] = []
    for answer in answers:
        if head is not None and answer.run != head.run:
            yield Run(head.start_lsn, head.last_lsn, head.complete, tuple(chunks))
            head, chunks = None, []
        head = head or answer
        chunks.append(answer.chunk)
    if head is not None:
        yield Run(head.start_lsn, head.last_lsn, head.complete, tuple(chunks))


def choose(cut_lsn: int, cut_clock_ms: int, tails: Sequence[SealedTail]) -> Chosen:
    """The tail to continue the archive with, which ends at the cut. With an empty set nothing was promised
    beyond.

    Raises:
        Lossy: no member can vouch for what follows the cut; the best of what there is ends at
            ``through_lsn``.
    """
    fitting = [
        (run.last_lsn, tail.name, run)
        for tail in tails
        for run in tail.runs
        if run.start_lsn <= cut_lsn and run.complete
    ]
    if fitting:
        _, name, run = max(fitting, key=lambda found: found[:2])
        return Chosen(name, run if run.last_lsn > cut_lsn else None)
    if not tails:
        return Chosen("", None)
    ends = [run.last_lsn for tail in tails for run in tail.runs if run.last_lsn > cut_lsn]
    reason = "; ".join(f"{tail.name} {_why_not(tail, cut_lsn)}" for tail in tails)
    raise Lossy(Loss(f"of the tail set, {reason}", cut_lsn, cut_clock_ms, max(ends, default=None), None))


def _why_not(tail: SealedTail, cut_lsn: int) -> str:
    if tail.problem:
        return f"was not reached ({tail.problem})"
    if not tail.runs:
        return "holds nothing: it has restarted"
    run = max(tail.runs, key=lambda run: run.last_lsn)
    if run.start_lsn > cut_lsn:
        return f"holds the log from lsn {run.start_lsn} on"
    return f"holds the log through lsn {run.last_lsn}, but had not caught up"


def append(store: _native.Store, run: Run) -> int:
    """Takes what the store, which ends at the cut, does not have yet; its new last LSN. The store has to keep
    its log (``keep_log``): what is taken here is in no archive, until that of the next epoch has it.

    Raises:
        LogGap, Corruption: the run does not continue the store's log.
        AidbError: of the disk.
    """
    _, lsn, _ = store.position()
    store.archived(lsn)
    for chunk in run.chunks:
        if chunk:
            lsn, _, _, _ = store.apply_log(_native.LogRecords(chunk), _FOREVER, _FOREVER, 0)
    return lsn
