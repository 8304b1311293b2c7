"""`aidb` as a process, as users run it (forked, which costs less: see `forking`)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.cli.forking import forks

SECONDS = 120.0


class Command:
    """Runs `aidb` in ``directory``; ``data`` is its AIDB_DATA."""

    def __init__(self, directory: Path, data: Path) -> None:
        self.directory = directory
        self.data = data

    def run(self, *arguments: object, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "AIDB_DATA": str(self.data)}
        environment["AIDB_CONFIG"] = str(self.directory / "config.toml")
        environment.pop("AIDB_ADDRESS", None)
        return forks().run(
            "aidb",
            list(map(str, arguments)),
            directory=self.directory,
            environment=environment,
            content=content,
            timeout=SECONDS,
        )

    def __call__(self, *arguments: object, content: bytes = b"") -> bytes:
        """Standard output of a command that has to succeed."""
        done = self.run(*arguments, content=content)
        assert done.returncode == 0, (arguments, done.returncode, done.stderr.decode())
        return done.stdout

    def document(self, *arguments: object, content: bytes = b"") -> Any:
        """The JSON that it prints."""
        return json.loads(self(*arguments, "-o", "json", content=content))

    def refused(self, *arguments: object, code: int, content: bytes = b"") -> str:
        """What a command that has to fail with ``code`` says: one line for what happened."""
        done = self.run(*arguments, content=content)
        said = done.stderr.decode()
        assert done.returncode == code, (arguments, done.returncode, said)
        assert "Traceback" not in said and "internal error" not in said, said
        assert said.splitlines()[-1].startswith("aidb: "), said
        return said

    def pids(self) -> dict[str, int]:
        """Of the programs by name, as status tells them."""
        status = self.document("status")
        members = [
            member
            for shard in status["shards"]
            for member in [shard["primary"], *shard["replicas"]]
            if member is not None
        ]
        pids = {member["name"]: member["pid"] for member in [*members, *status["routers"]]}
        return {**pids, "coordinator": status["coordinator"]["pid"]}
