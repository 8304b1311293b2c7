"""`recover` without `--shard`: every shard of a cluster that is down, to one time, and its topology (D9).

All shards are restored beside what is there, at once; only when all are whole are they put in place, then the
topology. What was there before is kept aside. A failure of any shard leaves everything as it was.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from aidb.admin import coordinator_file, show
from aidb.admin.places import Where, catalogs
from aidb.admin.recover import Prepared, Report, recovery
from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.cli.progress import Advance, progress
from aidb.durability.catalog import Catalog
from aidb.durability.cluster_plan import ShardPlan, as_of, cluster_plan
from aidb.durability.given_up import GivenUp, give_up, given_up_at
from aidb.durability.history import History
from aidb.durability.lineage import END
from aidb.durability.loss import Lossy
from aidb.durability.names import Names
from aidb.durability.placement import Placement
from aidb.durability.restore_plan import Target
from aidb.errors import AidbError
from aidb.local import lock
from aidb.local.cluster import LocalCluster
from aidb.local.incarnations import directory_of
from aidb.local.layout import Layout
from aidb.objects.errors import NoSuchKey, ObjectError
from aidb.objects.store import ObjectStore
from aidb.v1 import cluster_pb2 as pb


class _Ended(Exception):
    """Another shard has failed."""


@dataclass(frozen=True, slots=True)
class _Failed:
    shard: int
    error: Exception


def recover_cluster(
    where: Where, target: Target, how: Output, *, at_once: int, shards_at_once: int, accept_loss: bool
) -> int:
    """Into the directories of the local cluster in ``where.data``."""
    if target.lsn != END:
        raise Failure("an LSN is one shard's: give --shard, or --to-time for all", Exit.BAD_INPUT)
    layout = Layout.at(where.data)
    with _stopped(where.data, layout), catalogs(where, None) as found:
        if not found:
            raise Failure("the store holds no shard of this cluster", Exit.NOT_FOUND)
        store, uid = found[0].store, found[0].names.cluster_uid
        _refuse_given_up(store, uid, target.clock_ms)
        history = History(store, uid)
        current = coordinator_file.current(layout)
        then, newest = _topologies(history, current, target.clock_ms)
        plans = cluster_plan(then.topology, newest, target.clock_ms)
        last = max(newest, key=lambda one: one.version)
        directories = _directories(layout, then.topology, last)
        with progress(f"{len(plans)} shards", None) as advance:
            prepared = _prepare_all(
                [(Catalog(store, Names(uid, plan.shard)), plan, directories[plan.shard]) for plan in plans],
                _Told(advance),
                at_once=at_once,
                shards_at_once=shards_at_once,
                accept_loss=accept_loss,
            )
        failed = [one for one in prepared.values() if isinstance(one, _Failed)]
        if failed:
            raise _failure(failed, how)
        whole = {shard: one for shard, one in prepared.items() if not isinstance(one, _Failed)}
        now_ms = time.time_ns() // 1_000_000
        if target.clock_ms < now_ms:
            give_up(store, uid, GivenUp(target.clock_ms, now_ms))
        reports = {shard: one.put_in_place() for shard, one in whole.items()}
        disks = [
            {"id": shard, "epoch": one.report.epoch, "disk_id": one.disk_id, "lsn": one.report.lsn}
            for shard, one in whole.items()
        ]
        version = coordinator_file.write(layout, then.topology, last, disks)
    if how is Output.JSON:
        documents = [
            {"shard": shard, "directory": str(directories[shard])} | report.as_dict()
            for shard, report in sorted(reports.items())
        ]
        topology = {"restored": then.topology.version, "at_ms": then.at_ms, "version": version}
        output.document({"recovered": True, "topology": topology, "shards": documents})
    else:
        for shard, report in sorted(reports.items()):
            _print(shard, report)
        print(f"topology: as in version {then.topology.version}, now version {version}")
    lossy = any(report.loss is not None for report in reports.values())
    return int(Exit.ERROR if lossy else Exit.OK)


def _refuse_given_up(store: ObjectStore, uid: str, clock_ms: int) -> None:
    """Raises Failure, ObjectError."""
    span = given_up_at(store, uid, clock_ms)
    if span is None:
        return
    back, when = show.moment(span.from_ms), show.moment(span.until_ms)
    raise Failure(
        f"{show.moment(clock_ms)} was given up when the cluster was restored to {back}, at {when}: choose a "
        f"time that is not after {back}, or after {when}. (If that restore failed and was never repeated, "
        f"delete {span.key(uid)} in {store.url} and try again.)",
        Exit.BAD_INPUT,
    )


def _print(shard: int, report: Report) -> None:
    done = report.as_dict()
    print(
        f"shard {shard}: lsn {report.lsn}, clock {show.moment(done['clock_ms'])}, "
        f"from snapshot {done['snapshot'] or '(none)'} and {done['records']} records"
    )
    if report.loss is not None:
        print(f"  LOST: {Lossy(report.loss)}")


@contextmanager
def _stopped(data: Path, layout: Layout) -> Iterator[None]:
    """Nothing of the cluster runs, and no supervisor starts, until this ends. Raises Failure."""
    cluster = LocalCluster.existing(data)
    if cluster is None:
        raise Failure(
            f"there is no cluster in {data}: name its directory with --data; if that is lost, begin a new "
            "cluster with what the object store has: aidb up --recover-from URL",
            Exit.BAD_INPUT,
        )
    held = lock.acquire(layout.lock)
    try:
        if held is None or cluster.running():
            raise Failure(f"the cluster in {data} runs: aidb down stops it", Exit.BAD_INPUT)
        yield
    finally:
        if held is not None:
            os.close(held)


def _topologies(
    history: History, current: pb.Topology | None, clock_ms: int
) -> tuple[Placement, list[pb.Topology]]:
    """The one that held then, and the newest ones that are known. Raises Failure, ObjectError."""
    version = history.newest_version()
    newest = [history.get(version)] if version else []
    known = [one.topology for one in newest] + ([current] if current is not None else [])
    if not known:
        raise Failure(
            f"neither {history.store.url} nor the coordinator's directory has a topology of the cluster",
            Exit.NOT_FOUND,
        )
    if clock_ms == END:
        return Placement(newest[0].at_ms if newest else 0, max(known, key=lambda one: one.version)), known
    if not newest:
        # Written before there was a history: slots have never moved since.
        return Placement(0, known[0]), known
    try:
        then = history.at(clock_ms)
    except NoSuchKey as error:
        raise Failure(str(error), Exit.NOT_FOUND) from error
    if current is not None and current.version > version:
        then = replace(then, topology=as_of(then.topology, current, clock_ms))
    return then, known


def _directories(layout: Layout, then: pb.Topology, last: pb.Topology) -> dict[int, Path]:
    """Of the incarnations that the topology will name. Which shards there are now does not matter: the
    topology is who says which are to run.
    """
    incarnations = {shard.id: max(1, shard.incarnation) for one in (then, last) for shard in one.shards}
    return {shard.id: directory_of(layout, shard.id, incarnations[shard.id]) for shard in then.shards}


class _Told:
    """The progress of several shards in one line."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._lock = threading.Lock()
        self._shards: dict[int, tuple[str, int, int]] = {}

    def seen(self, shard: int, what: str, done: int, total: int) -> None:
        with self._lock:
            self._shards[shard] = what, done, total
            parts = []
            for kind in ("tables", "log"):
                of = [(d, t) for w, d, t in self._shards.values() if w == kind]
                if of:
                    sums = sum(d for d, _ in of), sum(t for _, t in of)
                    text = [output.human_bytes(one) if kind == "tables" else str(one) for one in sums]
                    parts.append(f"{kind}: {text[0]} of {text[1]} in {len(of)} shards")
            self._advance(0, "; ".join(parts))


def _prepare_all(
    todo: list[tuple[Catalog, ShardPlan, Path]],
    told: _Told,
    *,
    at_once: int,
    shards_at_once: int,
    accept_loss: bool,
) -> dict[int, Prepared | _Failed]:
    prepare = recovery().prepare_in_place
    failed = threading.Event()

    def one(catalog: Catalog, plan: ShardPlan, directory: Path) -> Prepared | _Failed:
        def seen(what: str, done: int, total: int) -> None:
            if failed.is_set():
                raise _Ended("another shard has failed")
            told.seen(plan.shard, what, done, total)

        try:
            return prepare(
                catalog,
                directory,
                plan.target,
                at_once=at_once,
                accept_loss=accept_loss,
                epoch=plan.epoch,
                seen=seen,
            )
        except (Lossy, ObjectError, AidbError, OSError, _Ended) as error:
            failed.set()
            return _Failed(plan.shard, error)

    with ThreadPoolExecutor(shards_at_once, thread_name_prefix="shard") as pool:
        futures = {item[1].shard: pool.submit(one, *item) for item in todo}
        return {shard: future.result() for shard, future in futures.items()}


def _failure(failed: list[_Failed], how: Output) -> Failure:
    first = [one for one in failed if not isinstance(one.error, _Ended)]
    if how is Output.JSON:
        losses = {one.shard: asdict(one.error.loss) for one in first if isinstance(one.error, Lossy)}
        output.document(
            {"recovered": False, "losses": losses, "errors": {one.shard: str(one.error) for one in first}}
        )
    what = "; ".join(f"shard {one.shard}: {one.error}" for one in first)
    return Failure(f"nothing was put in place: {what}")
