"""`dump-sst`, `dump-log`, `dump-manifest`: what is in one file. Each returns the exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from aidb.admin import show
from aidb.admin.native import Emit, Item, inspector
from aidb.cli.exits import Exit
from aidb.cli.parameters import Output


def sst(file: Path, output: Output, *, entries: bool) -> int:
    """A table."""

    def people(entry: Item) -> None:
        expires = f"  until {show.moment(entry['expires_at_ms'])}" if entry["expires_at_ms"] else ""
        print(f"{show.key(entry['key'])}  v{entry['version']}{expires}  {show.value(entry['value'])}")

    def summary(found: Item) -> None:
        for block in found["blocks"]:
            state = "DAMAGED" if block["damaged"] else f"{block['entries']} entries"
            end = block["offset"] + block["length"]
            print(f"block {block['offset']}..{end}: {state}, through {show.key(block['through'])}")
        _properties(found["properties"])

    return _dump(inspector().dump_sst, "entry", file, output, people if entries else None, summary)


def log(file: Path, output: Output) -> int:
    """A segment of the log."""

    def people(record: Item) -> None:
        synced = "" if record["synced_lsn"] == record["previous_lsn"] else f"  synced {record['synced_lsn']}"
        clock = show.moment(record["clock_ms"])
        print(
            f"{record['offset']}: lsn {record['lsn']} after {record['previous_lsn']}"
            f"  epoch {record['epoch']}  {clock}{synced}"
        )
        for op in record["ops"]:
            print(f"    {_operation(op)}")

    def summary(found: Item) -> None:
        print(
            f"segment {found['segment']}: {found['records']} records in {found['end']} of"
            f" {found['bytes']} bytes, then {found['rest']}"
        )

    return _dump(inspector().dump_log, "record", file, output, people, summary)


def manifest(file: Path, output: Output) -> int:
    """Which tables make up a store."""

    def people(edit: Item) -> None:
        names = ("flushed_lsn", "epoch", "clock_ms", "next_number")
        numbers = "  ".join(f"{name} {edit[name]}" for name in names if edit[name])
        print(f"{edit['offset']}: {numbers}")
        for table in edit["added"]:
            print(
                f"    + table {table['number']} in L{table['level']}: {table['bytes']} bytes,"
                f" {table['entries']} entries, {show.key(table['smallest'])} .. {show.key(table['largest'])},"
                f" lsn {table['last_lsn']}"
            )
        for number in edit["removed"]:
            print(f"    - table {number}")
        for number, spans in edit["hidden"]:
            for begin, end in spans:
                print(f"    hidden of table {number}: {show.key(begin)} up to {show.key(end, 'the end')}")
        for client, seq, lsn in edit["ingested"]:
            print(f"    ingest {client}/{seq} at lsn {lsn}")

    def summary(found: Item) -> None:
        print(f"format {found['format']}: {found['edits']} edits in {found['bytes']} bytes")

    return _dump(inspector().dump_manifest, "edit", file, output, people, summary)


def _dump(
    read: Callable[[Path, Emit], Item],
    kind: str,
    file: Path,
    output: Output,
    people: Emit | None,
    summary: Emit,
) -> int:
    """``people`` prints an item; ``None``: items are left out."""
    if output is Output.JSON:
        found = read(file, (lambda item: show.document(kind, item)) if people else _nothing)
        show.document("summary", found)
        return int(Exit.ERROR if found["damage"] else Exit.OK)
    found = read(file, people or _nothing)
    summary(found)
    return show.damage(found["damage"])


def _nothing(_: Item) -> None:
    pass


def _operation(op: dict[str, Any]) -> str:
    request = f"  by {op['client']}/{op['request_seq']}" if op["client"] else ""
    match op["kind"]:
        case "put":
            expires = f"  until {show.moment(op['expires_at_ms'])}" if op["expires_at_ms"] else ""
            what = f"put {show.key(op['key'])} = {show.value(op['value'])}{expires}"
        case "range_delete" | "ingest" as kind:
            what = f"{kind} {show.key(op['key'])} up to {show.key(op['end_key'] or None, 'the end')}"
            if op["sst_sha256"] is not None:
                what += f"  sha256 {op['sst_sha256'].hex()}"
        case kind:
            what = f"{kind} {show.key(op['key'])}".rstrip()
    return what + request


def _properties(known: Item | None) -> None:
    if known is None:
        print("no properties")
        return
    expired = known["all_expired_at_ms"]
    print(
        f"{known['entries']} entries, {known['tombstones']} tombstones,"
        f" {show.key(known['smallest'])} .. {show.key(known['largest'])}, lsn {known['last_lsn']}"
        + (f", all expired at {show.moment(expired)}" if expired else "")
    )
