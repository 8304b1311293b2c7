"""Where the commands of a page run: a directory like a checkout, with or without a cluster.

In it lie links to everything that is at the top of this checkout, `.venv` among it; what commands write stays
in the directory. `aidb` and its relatives are on the PATH.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.documents.blocks import REAL, ROOT
from tools import go_program

# Seconds are seconds where nothing else runs; a busy machine takes minutes.
SECONDS = 600.0
KNOWN = ("nothing", "local", "secure", "api", *sorted(REAL))
_END_SECONDS = 10.0
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
    """``environment``: beside what this process has. ``last``: what is run at the end. ``instead``: regular
    expressions, and what stands in the place of what pages say. ``python``: runs such text elsewhere than in
    this process, and gives what it prints.
    """

    directory: Path
    last: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)
    python: Callable[[str], str] | None = None

    def __post_init__(self) -> None:
        # Of scripts that left something in the background.
        self._groups: list[int] = []
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
        folders = (self.bin, Path(sys.executable).parent, os.environ["PATH"], go_program.FOLDER)
        self.environment |= {
            "PATH": os.pathsep.join(map(str, folders)),
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
        with tempfile.TemporaryFile() as printed:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", self.localized(text)],
                cwd=self.directory,
                env={**kept, **self.environment},
                stdin=subprocess.DEVNULL,
                # No pipe: what stays in the background would keep it open.
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._groups.append(process.pid)
            try:
                code = process.wait(SECONDS)
            except BaseException:
                _signal(process.pid, signal.SIGKILL)
                process.wait()
                raise
            finally:
                self._groups = [group for group in self._groups if _signal(group, 0)]
            printed.seek(0)
            said = printed.read().decode(errors="replace")
        assert code == 0, f"exit code {code}:\n{said[-4000:]}"
        return said

    def localized(self, text: str) -> str:
        """With what this place has instead of what pages say: the ports of its cluster, for example."""
        for pattern, replacement in self.instead.items():
            text = re.sub(pattern, replacement, text)
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
        """Stops the cluster, if there is one, and what runs in the background, and removes the directory.
        Again does nothing.
        """
        if not self.directory.exists():
            return
        if (self.directory / ".aidb").exists():
            self.run("aidb down")
        self.run(self.last)
        self._end()
        shutil.rmtree(self.directory)

    def _end(self) -> None:
        """Of scripts that left something there."""
        for group in self._groups:
            _signal(group, signal.SIGTERM)
        until = time.monotonic() + _END_SECONDS
        while self._groups and time.monotonic() < until:
            time.sleep(0.05)
            self._groups = [group for group in self._groups if _signal(group, 0)]
        for group in self._groups:
            _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """False: nobody is left in that group of processes."""
    with suppress(ProcessLookupError):
        os.killpg(group, number)
        return True
    return False
