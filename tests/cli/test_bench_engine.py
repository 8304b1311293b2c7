"""`aidb bench engine`: its workloads run on our engine, and its arithmetic."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from aidb.cli.bench_engine import engines
from aidb.cli.bench_engine.run import compared, verdict
from aidb.cli.bench_engine.workloads import Load, run
from aidb.errors import Unsupported


def test_every_workload_runs(tmp_path: Path) -> None:
    measured = list(run(engines.Aidb, tmp_path, Load(keys=1000, value_size=20)))
    assert len({name for name, _, _ in measured}) == len(measured) == 21
    assert all(operations > 0 and seconds > 0 for _, operations, seconds in measured)


def test_ratios_are_medians_of_pairs() -> None:
    rows = compared({"get": {"aidb": [10.0, 30.0, 7.0], "rocksdb": [20.0, 10.0, 10.0]}})
    assert rows == [{"workload": "get", "aidb": 10, "rocksdb": 10, "ratio": 0.7}]
    assert verdict(rows) == "Rows below 0.8 times RocksDB: get 0.70. Median row: 0.70."


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "rocksdict":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(Unsupported, match="aidb\\[bench\\]"):
        engines.check()
