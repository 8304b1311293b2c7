"""`backups`, `verify`, `retention`: what lies in the object store. Each returns the exit code."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aidb.admin import show
from aidb.admin.places import Where, catalogs
from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output
from aidb.cli.progress import progress
from aidb.durability import history
from aidb.durability.catalog import Catalog
from aidb.durability.collecting import Collected, collect
from aidb.durability.manifest import Manifest
from aidb.durability.retention_plan import Policy
from aidb.durability.verification import Verified
from aidb.durability.verification import verify as read_all


def backups(where: Where, shard: int | None, how: Output) -> int:
    """Snapshots, newest first, and how far the archive goes."""
    with catalogs(where, shard) as found:
        listed = [
            (catalog, [one for one, _ in catalog.manifests_from(catalog.newest_claim())]) for catalog in found
        ]
        if how is Output.JSON:
            output.document([_shard_document(catalog, manifests) for catalog, manifests in listed])
            return int(Exit.OK)
        rows = [
            (
                str(catalog.names.shard),
                one.label,
                show.moment(one.at_ms),
                str(one.lsn),
                show.moment(one.clock_ms),
                output.human_bytes(one.size),
                one.name,
            )
            for catalog, manifests in listed
            for one in manifests
        ]
        output.table(("SHARD", "SNAPSHOT", "TAKEN", "LSN", "CLOCK", "SIZE", "NAME"), rows)
        for catalog, _ in listed:
            lsn, clock_ms = _end(catalog)
            print(f"shard {catalog.names.shard}: archived through lsn {lsn}, clock {show.moment(clock_ms)}")
    return int(Exit.OK)


def verify(where: Where, shard: int | None, how: Output, *, at_once: int) -> int:
    """Reads every object that a restore may need."""
    code = Exit.OK
    documents: list[dict[str, Any]] = []
    with catalogs(where, shard) as found:
        for catalog in found:
            with progress(f"shard {catalog.names.shard}", None) as advance:
                verified = read_all(catalog, at_once, lambda now, tell=advance: tell(0, _done(now)))  # type: ignore[misc]
            if verified.problems:
                code = Exit.ERROR
            if how is Output.JSON:
                documents.append({"shard": catalog.names.shard} | asdict(verified))
                continue
            chain = ""
            if verified.chain_from is not None:
                chain = f"; the log is whole from lsn {verified.chain_from} to {verified.chain_to}"
            print(f"shard {catalog.names.shard}: {verified.snapshots} snapshots, {_done(verified)}{chain}")
            for problem in verified.problems:
                print(f"  {problem.object}: {problem.what}")
        if shard is None and found:
            versions, problems = history.damaged(history.History(found[0].store, found[0].names.cluster_uid))
            code = Exit.ERROR if problems else code
            if how is Output.JSON:
                documents.append(
                    {"shard": None, "topologies": versions, "problems": [asdict(one) for one in problems]}
                )
            else:
                print(f"topology: {versions} versions read")
                for problem in problems:
                    print(f"  {problem.object}: {problem.what}")
    if how is Output.JSON:
        output.document(documents)
    elif code is Exit.OK:
        print("nothing is damaged")
    return int(code)


def retention(
    where: Where, shard: int | None, how: Output, policy: Policy, *, dry_run: bool, yes: bool
) -> int:
    """Deletes what the policy does not keep."""
    if not dry_run and not yes:
        raise Failure("nothing was deleted: say --yes to delete, or --dry-run to see what", Exit.BAD_INPUT)
    documents: list[dict[str, Any]] = []
    with catalogs(where, shard) as found:
        for catalog in found:
            collected = collect(catalog, policy, dry_run=dry_run)
            if how is Output.JSON:
                documents.append(_collected_document(catalog, collected, dry_run))
            else:
                _print_collected(catalog, collected, dry_run)
        if shard is None and found:
            _retain_topologies(found[0], documents if how is Output.JSON else None, dry_run=dry_run)
    if how is Output.JSON:
        output.document(documents)
    return int(Exit.OK)


def _retain_topologies(catalog: Catalog, documents: list[dict[str, Any]] | None, *, dry_run: bool) -> None:
    """Of the cluster that ``catalog`` is of."""
    gone = history.collect(history.History(catalog.store, catalog.names.cluster_uid), dry_run=dry_run)
    if documents is not None:
        documents.append(
            {
                "shard": None,
                "dry_run": dry_run,
                "kept": [],
                "deletions": [stat.key for stat in gone],
                "bytes": sum(stat.size for stat in gone),
                "deleted": 0 if dry_run else len(gone),
                "notes": ["the topology's history, of the whole cluster"],
            }
        )
    else:
        verb = "would be deleted" if dry_run else "deleted"
        print(f"topology: {len(gone)} old versions {verb}")


def _done(now: Verified) -> str:
    return (
        f"{now.tables} tables ({output.human_bytes(now.table_bytes)}) and {now.pieces} pieces of the log "
        f"({now.records} records, {output.human_bytes(now.log_bytes)}) read"
    )


def _shard_document(catalog: Catalog, manifests: list[Manifest]) -> dict[str, Any]:
    lsn, clock_ms = _end(catalog)
    snapshots = [
        {
            "snapshot": one.label,
            "name": one.name,
            "at_ms": one.at_ms,
            "lsn": one.lsn,
            "clock_ms": one.clock_ms,
            "bytes": one.size,
            "tables": len(one.files),
        }
        for one in manifests
    ]
    archived = {"archived_lsn": lsn, "archived_clock_ms": clock_ms}
    return {"shard": catalog.names.shard, "epoch": catalog.newest_claim(), "snapshots": snapshots} | archived


def _end(catalog: Catalog) -> tuple[int, int]:
    """LSN and clock of the newest piece of the log."""
    for branch in catalog.branches(catalog.newest_claim()):
        if (piece := catalog.last_piece(branch.epoch)) is not None:
            return min(piece.last_lsn, branch.cut), piece.last_clock_ms
    return 0, 0


def _collected_document(catalog: Catalog, collected: Collected, dry_run: bool) -> dict[str, Any]:
    plan = collected.plan
    return {
        "shard": catalog.names.shard,
        "dry_run": dry_run,
        "kept": [one.label for one in plan.kept],
        "deletions": [stat.key for stat in plan.deletions],
        "bytes": plan.bytes,
        "deleted": collected.deleted,
        "notes": list(collected.notes),
    }


def _print_collected(catalog: Catalog, collected: Collected, dry_run: bool) -> None:
    plan = collected.plan
    kept = ", ".join(one.label for one in plan.kept) or "nothing (there is no snapshot)"
    verb = "would be deleted" if dry_run else f"planned, {collected.deleted} deleted"
    print(
        f"shard {catalog.names.shard}: kept {kept}; {len(plan.deletions)} objects "
        f"({output.human_bytes(plan.bytes)}) {verb}"
    )
    if dry_run:
        for stat in plan.deletions:
            print(f"  {stat.key.removeprefix(catalog.names.root)}")
    for note in collected.notes:
        print(f"  note: {note}")
