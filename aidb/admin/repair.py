"""`verify-store` and `repair-store`. Each returns the exit code."""

from __future__ import annotations

import sys
from pathlib import Path

from aidb.admin import show
from aidb.admin.native import Item, inspector
from aidb.cli.exits import Exit, Failure
from aidb.cli.parameters import Output


def verify(store: Path, output: Output) -> int:
    """Reads everything, writes nothing."""
    found = inspector().repair_store(store, False)
    if output is Output.JSON:
        show.document("verify", found)
        return int(Exit.ERROR if found["damage"] else Exit.OK)
    print(f"{found['tables']} tables and {found['records']} records of the log read")
    code = show.damage(found["damage"])
    print("damaged: see 'aidb-admin repair-store --dry-run'" if code else "nothing is damaged")
    return code


def repair(store: Path, output: Output, *, dry_run: bool, yes: bool) -> int:
    """Asks before it writes.

    Raises:
        Failure: it may not write: nobody can be asked, or the answer was no.
    """
    native = inspector()
    found = native.repair_store(store, False)
    if found["damage"] and not dry_run:
        if not yes:
            _people(found)
            _confirm(store)
        found = native.repair_store(store, True)
    if output is Output.JSON:
        show.document("repair", found)
    else:
        _people(found)
    repaired = found["applied"] or not found["damage"]
    return int(Exit.OK if repaired else Exit.ERROR)


def _confirm(store: Path) -> None:
    if not sys.stdin.isatty():
        raise Failure("the store was not changed: say --yes to repair it, or --dry-run", Exit.BAD_INPUT)
    print(f"repair {store}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure("the store was not changed")


def _people(found: Item) -> None:
    show.damage(found["damage"])
    if not found["damage"]:
        print("nothing is damaged")
        return
    done = "" if found["applied"] else "would be "
    for table in found["lost_tables"]:
        of = "?" if table["entries"] is None else table["entries"]
        print(f"{table['file']}: {table['saved_entries']} of {of} entries {done}saved")
        for after, through in table["ranges"]:
            print(
                f"    lost: keys after {show.key(after, 'the beginning')}"
                f" through {show.key(through, 'the end')} (older values may show)"
            )
    if found["rebuilt"]:
        print(f"the levels {done or 'were '}made anew from {found['tables']} tables")
    if found["lost_records"]:
        after, through = found["lost_records"]
        print(f"lost: the log's records after lsn {after} through {through}, or later")
    for note in found["notes"]:
        print(f"note: {note}")
    state = "is" if found["applied"] else "would be"
    print(f"the store {state} at lsn {found['lsn']}, epoch {found['epoch']}")
    if found["applied"]:
        print("what was replaced is kept in lost/")
