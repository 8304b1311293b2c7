"""Programs written in Go that tests use: built below target/tools, of a version that the tree names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "target" / "tools"


def found(name: str) -> str | None:
    """That of $NAME, of the PATH, of Go's own folder, or the one built here."""
    folders = (Path.home() / "go" / "bin" / name, FOLDER / name)
    for candidate in (os.environ.get(name.upper()), shutil.which(name), *map(str, folders)):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    return None


def install(name: str, source: str, without: str) -> int:
    """Builds it from ``source`` (package@version) unless there is one. 0 also where there is no Go: it is
    said ``without`` what tests go then.
    """
    if found(name):
        return 0
    if shutil.which("go") is None:
        print(f"no Go: {name} is not built, and {without} skipped", file=sys.stderr)
        return 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = ["go", "install", "-trimpath", "-ldflags=-s -w", source]
    environment = {**os.environ, "GOBIN": str(FOLDER), "CGO_ENABLED": "0"}
    return subprocess.run(command, check=False, env=environment).returncode
