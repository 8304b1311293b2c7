"""The archive: one folder, of text alone, and `report.json` last, of what could not be had."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aidb.report.redaction import redacted, text, unmistakable


class Archive:
    """Everything goes through the redaction on its way in. ``known``: secrets at hand, as they are."""

    def __init__(self, archive: tarfile.TarFile, root: str, known: frozenset[str]) -> None:
        self._archive = archive
        self._root = root
        self._known = known
        self.missing: list[str] = []

    def add(self, member: str, content: str) -> None:
        """Text, such as a log."""
        self._write(member, text(content, self._known))

    def add_document(self, member: str, document: Any) -> None:
        """What can be JSON."""
        self.add_redacted(member, json.dumps(redacted(document), indent=2))

    def add_redacted(self, member: str, content: str) -> None:
        """What was made of an object that went through `redacted`."""
        self._write(member, unmistakable(content, self._known))

    def lacks(self, what: str, why: object) -> None:
        self.missing.append(text(f"{what}: {why}", self._known))

    def _write(self, member: str, content: str) -> None:
        encoded = content.encode(errors="replace")
        info = tarfile.TarInfo(f"{self._root}/{member}")
        info.size, info.mtime, info.mode = len(encoded), int(time.time()), 0o600
        self._archive.addfile(info, io.BytesIO(encoded))


@contextmanager
def archive(path: Path, about: Mapping[str, Any], known: frozenset[str] = frozenset()) -> Iterator[Archive]:
    """A new file, for its owner alone; it goes again if the report fails. Raises OSError."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(file, "wb") as out, tarfile.open(fileobj=out, mode="w:gz") as opened:
            made = Archive(opened, path.name.partition(".")[0], known)
            yield made
            made.add_document("report.json", {**about, "missing": made.missing})
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def default_path(name: str) -> Path:
    """In the working directory, by the time."""
    return Path(f"aidb-report-{name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tar.gz")
