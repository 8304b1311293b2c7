"""What `aidb-admin` does to files itself, in the audit log beside them."""

from __future__ import annotations

import getpass
import os
import time
from pathlib import Path
from typing import Any

from aidb.security import audit


def note(directory: Path, act: str, **asked: Any) -> None:
    """Raises OSError."""
    made = audit.Act(int(time.time() * 1000), "aidb-admin", _user(), act, asked)
    audit.append(directory / audit.FILE, made)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
