from __future__ import annotations

from tests.backup.conftest import directory, history, objects, primary

__all__ = ["directory", "history", "objects", "primary"]
