"""`aidb-admin tokens`: the file of tokens that programs read."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aidb.admin import show
from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.local.layout import Layout, default_data
from aidb.local.secure import tokens_file
from aidb.security import tokens
from aidb.security.authority import write_private


def create(file: Path | None, name: str, role: str, expires: float | None) -> None:
    """Adds a token and prints it: this is the only time that it can be seen."""
    secret = tokens.new_secret()
    expires_ms = 0 if expires is None else int((time.time() + expires) * 1000)
    with _changed(_path(file, make=True)) as known:
        if any(token.name == name for token in known):
            raise Failure(
                f"there is a token called {name!r}: revoke it first, or choose another name", Exit.BAD_INPUT
            )
        known.append(tokens.Token(name, role, tokens.digest(secret).hex(), expires_ms))
    print(secret)


def list_(file: Path | None, *, as_json: bool) -> None:
    """Prints names, roles and expiries; the tokens themselves are known to nobody."""
    known = _read(_path(file, make=False))
    if as_json:
        output.document([{"name": t.name, "role": t.role, "expires_ms": t.expires_ms} for t in known])
        return
    rows = [[t.name, t.role, show.moment(t.expires_ms) if t.expires_ms else "never"] for t in known]
    output.table(("NAME", "ROLE", "EXPIRES"), rows)


def revoke(file: Path | None, name: str) -> None:
    """Takes a token away; programs refuse it within seconds."""
    with _changed(_path(file, make=False)) as known:
        kept = [token for token in known if token.name != name]
        if len(kept) == len(known):
            raise Failure(f"there is no token called {name!r}", Exit.NOT_FOUND)
        known[:] = kept


def _path(file: Path | None, *, make: bool) -> Path:
    if file is not None:
        return file
    found = tokens_file(Layout.at(default_data()))
    if not found.exists():
        what = "--file names the file to make or change" if make else "--file names it"
        raise Failure(f"no secured cluster in {default_data()}: {what}", Exit.BAD_INPUT)
    return found


def _read(path: Path) -> list[tokens.Token]:
    try:
        return list(tokens.parse(path.read_bytes()))
    except FileNotFoundError:
        return []
    except tokens.BadTokens as error:
        raise Failure(f"{path}: {error}", Exit.BAD_INPUT) from error


@contextmanager
def _changed(path: Path) -> Iterator[list[tokens.Token]]:
    """The tokens to change, written back when the block ends well. Two that change them wait for each other:
    otherwise one could bring back what the other revoked.
    """
    folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        known = _read(path)
        yield known
        write_private(path, tokens.document(known))
    finally:
        os.close(folder)
