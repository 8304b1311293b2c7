"""Whose data a directory holds: `identity.json`, written atomically and synced.

    {"format": 1, "cluster_uid": "...", "disk_id": "...", "shard": 0, "pending_epoch": 3}

`disk_id` is drawn once and never changes. `cluster_uid` is empty until the first grant. `pending_epoch` is
what will be asked for, on disk before it is (D10): a grant whose answer was lost is recognised by it.
`handed_over`, if there is one, is the epoch that was given away in order (D6): the object store has all that
is here. The
file is created by a link, which fails when it exists: of two programs that start on one fresh directory
both go on with the same identity, and the store's lock then lets one of them through.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from aidb_node.failure import StartRefused

FORMAT = 1
FILE = "identity.json"
STORE = "store"
_TEMPORARY = ".identity-"
# What file systems put at the root of a volume.
_IGNORED = {"lost+found"}


@dataclass(frozen=True, slots=True)
class Identity:
    """The content of the file."""

    disk_id: str
    shard: int
    cluster_uid: str = ""
    pending_epoch: int = 0
    handed_over: int = 0
    format: int = FORMAT


def claim(directory: Path, shard: int) -> Identity:
    """The identity of `directory`, made when it is missing or empty.

    Raises:
        StartRefused: it holds something else or another shard, is of a newer format, or cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        found = {entry.name for entry in directory.iterdir()}
        if FILE not in found:
            _require_empty(directory, found)
            _create(directory, Identity(disk_id=str(uuid.uuid4()), shard=shard))
        identity = parse((directory / FILE).read_bytes(), directory)
        if not os.access(directory, os.W_OK):
            raise PermissionError(13, "permission denied", str(directory))
    except OSError as error:
        raise StartRefused(
            f"data directory {directory} cannot be used: {error.strerror or error}; "
            "give a directory that this user may write, or free some space"
        ) from error
    if identity.shard != shard:
        raise StartRefused(
            f"data directory {directory} belongs to shard {identity.shard}, not to shard {shard}; "
            "start it with the right --shard, or give another --data"
        )
    return identity


def parse(text: bytes, directory: Path) -> Identity:
    """The identity in a file's content.

    Raises:
        StartRefused: damaged, or of a newer format.
    """
    try:
        fields = json.loads(text)
        found = int(fields["format"])
        if found > FORMAT:
            raise StartRefused(
                f"data directory {directory} has format {found}, this program knows up to {FORMAT}; "
                "start a newer version"
            )
        return Identity(
            disk_id=str(fields["disk_id"]),
            shard=int(fields["shard"]),
            cluster_uid=str(fields["cluster_uid"]),
            pending_epoch=int(fields["pending_epoch"]),
            handed_over=int(fields.get("handed_over", 0)),
        )
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise StartRefused(
            f"{directory / FILE} is damaged ({type(error).__name__}: {error}); "
            "restore the file from a copy, or give another --data"
        ) from error


def update(
    directory: Path, identity: Identity, *, cluster_uid: str, pending_epoch: int, handed_over: int = 0
) -> Identity:
    """The identity with these fields, on disk when this returns. Raises OSError."""
    changed = replace(identity, cluster_uid=cluster_uid, pending_epoch=pending_epoch, handed_over=handed_over)
    if changed != identity:
        temporary = _write_temporary(directory, changed)
        temporary.replace(directory / FILE)
        _sync_directory(directory)
    return changed


def restore(directory: Path, identity: Identity) -> None:
    """The identity of a disk that was recovered: it replaces what is there. Raises OSError."""
    _write_temporary(directory, identity).replace(directory / FILE)
    _sync_directory(directory)


def _require_empty(directory: Path, found: set[str]) -> None:
    foreign = {name for name in found - _IGNORED if not name.startswith(_TEMPORARY)}
    if foreign:
        raise StartRefused(
            f"data directory {directory} holds no AiDb shard but other files ({min(foreign)} ...); "
            "give an empty directory"
        )


def _create(directory: Path, identity: Identity) -> None:
    temporary = _write_temporary(directory, identity)
    try:
        os.link(temporary, directory / FILE)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    _sync_directory(directory)


def _write_temporary(directory: Path, identity: Identity) -> Path:
    path = directory / f"{_TEMPORARY}{os.getpid()}"
    with path.open("w") as file:
        json.dump(asdict(identity), file)
        file.flush()
        os.fsync(file.fileno())
    return path


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
