"""Where the commands of a page run: a directory like a checkout, with or without a cluster.

In it lie links to everything that is at the top of this checkout, `.venv` among it; what commands write stays
in the directory. `aidb` and its relatives are on the PATH.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.documents.blocks import ROOT

# Seconds are seconds where nothing else runs; a busy machine takes minutes.
SECONDS = 600.0
KNOWN = ("nothing", "local", "secure", "api", "pods")
# The index of a whole distribution takes longer than a page should: its beginning is as good.
_APT_CACHE = """#!/bin/sh
exec "$(PATH="${PATH#*:}" command -v apt-cache)" "$@" | awk -v RS= -v ORS='\\n\\n' 'NR <= 300'
"""
# kubectl reads no folder through a link.
_COPIED = frozenset({"crds", "helm", "manifests"})
_NAMED_PORTS = {"7400": "coordinator", "7401": "router-0"}


class Missing(Exception):
    """This machine has not what the place needs; the text says what."""


@dataclass
class Place:
    """``environment``: beside what this process has. ``last``: what is run at the end."""

    directory: Path
    last: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        for path in ROOT.iterdir():
            if path.name in _COPIED:
                shutil.copytree(path, self.directory / path.name, symlinks=True)
            elif path.name not in (".aidb", ".git", "target"):
                (self.directory / path.name).symlink_to(path)
        if not (self.directory / ".venv").exists():
            (self.directory / ".venv").symlink_to(sys.prefix)
        self.bin = self.directory / ".bin"
        self.bin.mkdir()
        self.program("apt-cache", _APT_CACHE)
        self.environment |= {
            "PATH": os.pathsep.join([str(self.bin), str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(self.directory),
            "AIDB_PORT": "0",
            "AIDB_UP_TIMEOUT": "5m",
        }

    def program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def has(self, program: str) -> bool:
        return shutil.which(program, path=self.environment["PATH"].split(os.pathsep, 1)[1]) is not None

    def run(self, text: str) -> str:
        """What a script of bash prints; its errors go there too. Raises AssertionError when it fails."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AIDB_") or name == "AIDB_FREE_PORTS"
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.localized(text)],
            cwd=self.directory,
            env={**kept, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"exit code {done.returncode}:\n{done.stdout[-4000:]}"
        return done.stdout

    def localized(self, text: str) -> str:
        """With the ports that this place's cluster has, instead of those that clusters usually have."""
        ports = self._ports()
        for usual, name in _NAMED_PORTS.items():
            if name in ports:
                text = re.sub(rf"(127\.0\.0\.1|localhost):{usual}\b", rf"\1:{ports[name]}", text)
        return text

    def _ports(self) -> dict[str, int]:
        description = self.directory / ".aidb" / "local.json"
        if not description.exists():
            return {}
        found: dict[str, int] = json.loads(description.read_text())["ports"]
        return found

    def close(self) -> None:
        """Stops the cluster, if there is one, and removes the directory. Again does nothing."""
        if not self.directory.exists():
            return
        if (self.directory / ".aidb").exists():
            self.run("aidb down")
        self.run(self.last)
        shutil.rmtree(self.directory)
