"""`aidb version`: what is installed."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any


def aidb_version() -> str:
    """Of the distribution; without it (a bare checkout) unknown."""
    return _version("aidb") or "unknown"


def versions() -> dict[str, Any]:
    """Versions by name; ``native`` says how the native module was built, None = it is not installed."""
    return {
        "aidb": aidb_version(),
        "aidb-node": _version("aidb-node"),
        "native": _native(),
        "python": platform.python_version(),
        "grpcio": _version("grpcio"),
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _native() -> str | None:
    """Found by entry point: the command line imports no server."""
    for build in metadata.entry_points(group="aidb.native"):
        return str(build.load())
    return None
