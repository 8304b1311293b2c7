"""`aidb-admin` as a process, beside `aidb`."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.cli.command import SECONDS, Command
from tests.cli.forking import forks


def admin(aidb: Command, *arguments: object, code: int = 0) -> Any:
    """What ``aidb-admin ... -o json`` prints; of one that has to fail with ``code``, what it says."""
    done = forks().run(
        "aidb-admin",
        [*map(str, arguments), "-o", "json"],
        directory=aidb.directory,
        environment={**os.environ, "AIDB_DATA": str(aidb.data)},
        timeout=SECONDS,
    )
    assert done.returncode == code, (arguments, done.returncode, done.stderr.decode())
    return json.loads(done.stdout) if done.stdout else done.stderr.decode()
