"""`aidb-admin` as a process, beside `aidb`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.cli.command import SECONDS, Command


def admin(aidb: Command, *arguments: object, code: int = 0) -> Any:
    """What ``aidb-admin ... -o json`` prints; of one that has to fail with ``code``, what it says."""
    command = [sys.executable, "-c", "from aidb.admin.main import main; main()"]
    done = subprocess.run(
        [*command, *map(str, arguments), "-o", "json"],
        capture_output=True,
        cwd=aidb.directory,
        env={**os.environ, "AIDB_DATA": str(aidb.data)},
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == code, (arguments, done.returncode, done.stderr.decode())
    return json.loads(done.stdout) if done.stdout else done.stderr.decode()
