"""`aidb-admin tokens`: the file of tokens that programs read."""

from __future__ import annotations

import base64
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import fsencode
from pathlib import Path
from typing import Any

from aidb.admin import show
from aidb.admin.acts import note
from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.local.layout import Layout, default_data
from aidb.local.secure import tokens_file
from aidb.security import tokens
from aidb.security.authority import write_private


@dataclass(frozen=True, slots=True)
class Limits:
    """What a token reaches for; empty: everything."""

    keyspaces: tuple[int, ...] = ()
    prefixes: tuple[bytes, ...] = ()

    @classmethod
    def given(cls, keyspaces: Iterable[int], prefixes: Iterable[str], *, is_base64: bool) -> Limits:
        """From a command line. Raises Failure."""
        try:
            found = [
                base64.b64decode(text, validate=True) if is_base64 else fsencode(text) for text in prefixes
            ]
        except ValueError as error:
            raise Failure(f"a prefix is not base64: {error}", Exit.BAD_INPUT) from error
        return cls(tuple(sorted(set(keyspaces))), tuple(sorted(set(found))))


def create(file: Path | None, name: str, role: str, expires: float | None, limits: Limits) -> None:
    """Adds a token and prints it: this is the only time that it can be seen."""
    secret = tokens.new_secret()
    expires_ms = 0 if expires is None else int((time.time() + expires) * 1000)
    made = tokens.Token(
        name, role, tokens.digest(secret).hex(), expires_ms, limits.keyspaces, limits.prefixes
    )
    try:
        tokens.check_limits(made)
    except tokens.BadTokens as error:
        raise Failure(str(error), Exit.BAD_INPUT) from error
    path = _path(file, make=True)
    with _changed(path) as known:
        if any(token.name == name for token in known):
            raise Failure(
                f"there is a token called {name!r}: revoke it first, or choose another name", Exit.BAD_INPUT
            )
        known.append(made)
        described = {key: value for key, value in _document(made).items() if value}
        note(path.absolute().parent, "CreateToken", **described)
    print(secret)


def list_(file: Path | None, *, as_json: bool) -> None:
    """Prints names, roles, limits and expiries; the tokens themselves are known to nobody."""
    known = _read(_path(file, make=False))
    if as_json:
        output.document([_document(token) for token in known])
        return
    rows = [
        [
            t.name,
            t.role,
            ", ".join(map(str, t.keyspaces)) or "all",
            ", ".join(map(shown, t.prefixes)) or "all",
            show.moment(t.expires_ms) if t.expires_ms else "never",
        ]
        for t in known
    ]
    output.table(("NAME", "ROLE", "KEYSPACES", "PREFIXES", "EXPIRES"), rows)


def revoke(file: Path | None, name: str) -> None:
    """Takes a token away; programs refuse it within seconds."""
    path = _path(file, make=False)
    with _changed(path) as known:
        kept = [token for token in known if token.name != name]
        if len(kept) == len(known):
            raise Failure(f"there is no token called {name!r}", Exit.NOT_FOUND)
        known[:] = kept
        note(path.absolute().parent, "RevokeToken", name=name)


def shown(prefix: bytes) -> str:
    """For people."""
    return repr(prefix)[1:]


def _document(token: tokens.Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "role": token.role,
        "keyspaces": list(token.keyspaces),
        "prefixes": [tokens.shown_prefix(prefix) for prefix in token.prefixes],
        "expires_ms": token.expires_ms,
    }


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
