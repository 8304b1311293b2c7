from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aidb.objects.file import FileStore
from tests.backup.support import History, Primary, open_store


@pytest.fixture
def objects(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "objects")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The primary's data directory."""
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.fixture
def primary(directory: Path) -> Iterator[Primary]:
    made = Primary(open_store(directory / "store"))
    yield made
    made.store.close()


@pytest.fixture
def history(primary: Primary) -> History:
    return History(primary.store)
