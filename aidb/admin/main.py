"""Entry point; errors become one line and an exit code, as of `aidb`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """The console script."""
    from aidb.admin.app import app
    from aidb.cli.main import run

    sys.exit(run(sys.argv[1:], app, "aidb-admin"))
