"""Entry point; errors become one line and an exit code, as of `aidb`."""

from __future__ import annotations

import sys
from typing import NoReturn

_LOOK_SECONDS = 10.0


def main() -> NoReturn:
    """The console script."""
    from aidb.admin.app import app
    from aidb.cli.main import run

    sys.exit(run(sys.argv[1:], app, "aidb-admin", prepare=_in_our_words))


def _in_our_words(arguments: list[str]) -> list[str]:
    """Raises Failure."""
    from aidb.admin.earlier import OPTIONS, translated

    if not any(word.partition("=")[0] in OPTIONS for word in arguments):
        return arguments
    from aidb.cli.connection import find_address
    from aidb.cli.status import fetch

    return translated(arguments, lambda address: fetch(find_address(address), _LOOK_SECONDS))
