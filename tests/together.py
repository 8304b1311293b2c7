"""How `pytest -n` splits the tests between processes: a file at a time, because files share clusters; what
shares dear servers stays together; what takes long begins first, so that the end is even.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from aidb.local.ports import FREE_RANGE

ROOT = Path(__file__).resolve().parents[1]
API_SERVER = "API server"
# Fixtures of these folders last for the whole run.
FOLDERS = ("abuse", "chart", "documents", "objects")
# Its tests share nothing, and each takes long.
SINGLE = ("tests/evidence/test_short.py",)
LONG = ("documents", "takeover", "scaling", "top", "backup", "cli")
FIRST = (API_SERVER, *SINGLE, *(f"tests/{folder}" for folder in LONG))


@cache
def _of_file(path: str) -> str:
    text = (ROOT / path).read_text()
    if "apiserver: ApiServer" in text or "namespace: str" in text:
        return API_SERVER
    return next((f"tests/{folder}" for folder in FOLDERS if path.startswith(f"tests/{folder}/")), path)


def group(test: str) -> str:
    """What runs in one process, one after the other, with ``test``."""
    path = test.partition("::")[0]
    return test if path in SINGLE else _of_file(path)


def rank(test: str) -> int:
    """Groups of a lower one begin earlier."""
    return next((number for number, start in enumerate(FIRST) if group(test).startswith(start)), len(FIRST))


def share_of_ports(worker: str, count: int) -> str:
    """What only this process (``gw0``, ``gw1``) of ``count`` takes for its clusters, as AIDB_FREE_PORTS."""
    number, size = int(worker.removeprefix("gw")), len(FREE_RANGE) // count
    share = FREE_RANGE[number * size : (number + 1) * size]
    return f"{share[0]}-{share[-1]}"
