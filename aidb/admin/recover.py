"""`recover`: a shard from the object store to a disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, cast

from aidb.admin import coordinator_file, show
from aidb.admin.places import Where, catalogs
from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output, clock_ms
from aidb.cli.progress import progress
from aidb.durability.catalog import Catalog
from aidb.durability.lineage import END
from aidb.durability.loss import Loss, Lossy
from aidb.durability.restore_plan import Target
from aidb.errors import Unsupported
from aidb.local import lock
from aidb.local.incarnations import primary_directory
from aidb.local.layout import Layout


class Report(Protocol):
    """What was restored."""

    @property
    def loss(self) -> Loss | None: ...
    @property
    def lsn(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    def as_dict(self) -> dict[str, Any]: ...


class Drilled(Protocol):
    """``problem``: what is wrong, or nothing."""

    @property
    def problem(self) -> str: ...
    def as_dict(self) -> dict[str, Any]: ...


class Drill(Protocol):
    """See `aidb_node.recovery.drill`."""

    def __call__(
        self,
        catalog: Catalog,
        source: Path,
        lsn: int,
        scratch: Path,
        *,
        at_once: int,
        seen: Callable[[str, int, int], None],
    ) -> Drilled: ...


class _Recover(Protocol):
    def __call__(
        self,
        catalog: Catalog,
        directory: Path,
        target: Target,
        *,
        label: str,
        at_once: int,
        accept_loss: bool,
        seen: Callable[[str, int, int], None],
    ) -> Report: ...


class Prepared(Protocol):
    """A restore that is whole, and not in its place yet."""

    @property
    def report(self) -> Report: ...
    @property
    def disk_id(self) -> str: ...
    def put_in_place(self) -> Report: ...


class _Prepare(Protocol):
    def __call__(
        self,
        catalog: Catalog,
        directory: Path,
        target: Target,
        *,
        label: str = "",
        at_once: int,
        accept_loss: bool,
        epoch: int,
        seen: Callable[[str, int, int], None],
    ) -> Prepared: ...


class Recovery(Protocol):
    """The entry point `aidb.recovery`, of the node's distribution."""

    recover: _Recover
    prepare_in_place: _Prepare
    drill: Drill


def recover(
    where: Where,
    shard: int,
    into: Path | None,
    target: Target,
    how: Output,
    *,
    label: str,
    at_once: int,
    accept_loss: bool,
) -> int:
    """Into the directory ``into``, or, without one, into the one that the local cluster's primary starts
    from.
    """
    directory = into or _primary_directory(where.data, shard)
    with catalogs(where, shard) as (catalog,), progress(f"shard {shard}", None) as advance:
        try:
            options: dict[str, Any] = {
                "label": label,
                "at_once": at_once,
                "accept_loss": accept_loss,
                "seen": show.restoring(advance),
            }
            if into:
                report = recovery().recover(catalog, directory, target, **options)
            else:
                report = _in_place(Layout.at(where.data), catalog, directory, target, options)
        except Lossy as lossy:
            if how is Output.JSON:
                output.document({"recovered": False, "loss": asdict(lossy.loss)})
            raise Failure(str(lossy)) from lossy
    if how is Output.JSON:
        output.document({"recovered": True, "directory": str(directory)} | report.as_dict())
    else:
        _print(report.as_dict(), directory)
    return int(Exit.OK if report.loss is None else Exit.ERROR)


def target_of(to_lsn: int | None, to_time: str | None) -> Target:
    """Raises Failure."""
    if to_lsn is not None and to_time is not None:
        raise Failure("give one of --to-lsn and --to-time", Exit.BAD_INPUT)
    if to_time is None:
        return Target(lsn=END if to_lsn is None else to_lsn)
    return Target(clock_ms=clock_ms("--to-time", to_time))


def _primary_directory(data: Path, shard: int) -> Path:
    layout = Layout.at(data)
    if lock.holder(layout.lock) is not None:
        raise Failure(f"the cluster in {data} runs: aidb down stops it", Exit.BAD_INPUT)
    return primary_directory(layout, shard)


def _in_place(
    layout: Layout, catalog: Catalog, directory: Path, target: Target, options: dict[str, Any]
) -> Report:
    """The disk, and then the coordinator's topology, if it is there: the epoch may have risen while the store
    was away, or a takeover may have been under way.
    """
    shard = catalog.names.shard
    topology = coordinator_file.current(layout)
    known = [one for one in topology.shards if one.id == shard] if topology else []
    epoch = max((max(one.epoch, one.successor.epoch) for one in known), default=0)
    prepared = recovery().prepare_in_place(catalog, directory, target, epoch=epoch, **options)
    report = prepared.put_in_place()
    disk = {"id": shard, "epoch": report.epoch, "disk_id": prepared.disk_id, "lsn": report.lsn}
    if topology is not None:
        coordinator_file.put_shard(layout, disk)
    return report


def recovery() -> Recovery:
    """Raises Unsupported where the engine is not installed."""
    from importlib.metadata import entry_points

    for found in entry_points(group="aidb.recovery"):
        return cast(Recovery, found.load())
    raise Unsupported("the engine is not installed: pip install aidb-node")


def _print(report: dict[str, Any], directory: Path) -> None:
    tables = output.human_bytes(report["table_bytes"])
    fetched = output.human_bytes(report["downloaded_bytes"])
    log = output.human_bytes(report["log_bytes"])
    print(
        f"{directory}: lsn {report['lsn']}, clock {show.moment(report['clock_ms'])}, epoch {report['epoch']}"
    )
    if report["snapshot"]:
        snapshot = f"{report['snapshot']} (lsn {report['snapshot_lsn']})"
        print(f"  snapshot {snapshot}: {tables}, {fetched} of it downloaded")
    else:
        print("  no snapshot: the log was whole from its begin")
    print(f"  log: {report['records']} records in {report['pieces']} pieces, {log}")
    print(f"  in {report['table_seconds']:.1f} s and {report['replay_seconds']:.1f} s")
    if report["kept_aside"]:
        print(f"  what was there before: {report['kept_aside']}")
    if report["loss"]:
        loss = report["loss"]
        through = "the end" if loss["through_lsn"] is None else f"lsn {loss['through_lsn']}"
        print(f"  LOST: the records after lsn {loss['after_lsn']} through {through}: {loss['reason']}")
