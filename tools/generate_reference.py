"""Writes pages of docs/reference/ from what they describe. `--check`: only compares.

Contracts (proto/) -> grpc.md, and who may call them -> access.md; docstrings -> python.md; the command lines
-> command-line.md; error classes and docs/errors/ -> errors.md; monitoring/alerts/ -> alerts.md. Metrics and
custom resources have generators of their own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tools.reference import access, alerts, commands, contracts, errors, python_api

ROOT = Path(__file__).resolve().parents[1]
PAGES: dict[str, Callable[[], str]] = {
    "access.md": access.page,
    "alerts.md": alerts.page,
    "command-line.md": commands.page,
    "errors.md": errors.page,
    "grpc.md": contracts.page,
    "python.md": python_api.page,
}


def stale() -> list[str]:
    """The pages that are not what the programs say."""
    kept = ROOT / "docs" / "reference"
    return [
        name
        for name, page in PAGES.items()
        if not (kept / name).exists() or (kept / name).read_text() != page()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    names = stale()
    if parser.parse_args().check:
        if names:
            print(f"docs/reference: {', '.join(names)} differ: run `make gen`", file=sys.stderr)
        return 1 if names else 0
    for name in names:
        (ROOT / "docs" / "reference" / name).write_text(PAGES[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
