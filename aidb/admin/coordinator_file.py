"""The topology in the directory of a local coordinator that is down: who writes one knows its rules, so it is
a program of the coordinator's that reads and changes it.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

from aidb.cli.exits import Failure
from aidb.local.layout import Layout
from aidb.v1 import cluster_pb2 as pb

_SECONDS = 60.0


def current(layout: Layout) -> pb.Topology | None:
    """None where there is none. Raises Failure."""
    if not layout.directory("coordinator").exists():
        return None
    return _answer(layout, {"show": True})


def put_shard(layout: Layout, shard: dict[str, Any]) -> None:
    """One shard was restored: as `aidb_coordinator.restoring` says, of the topology that is there. Raises
    Failure.
    """
    _answer(layout, {"shard": shard})


def write(layout: Layout, then: pb.Topology, newest: pb.Topology, shards: list[dict[str, Any]]) -> int:
    """As `aidb_coordinator.restoring` says; the version that was written. Raises Failure."""
    asked = {
        "then": base64.b64encode(then.SerializeToString()).decode(),
        "newest": base64.b64encode(newest.SerializeToString()).decode(),
        "shards": shards,
    }
    written = _answer(layout, asked)
    assert written is not None
    return written.version


def _answer(layout: Layout, asked: dict[str, Any]) -> pb.Topology | None:
    command = [sys.executable, "-P", "-m", "aidb_coordinator.restoring"]
    done = subprocess.run(
        [*command, "--data", str(layout.directory("coordinator"))],
        input=json.dumps(asked).encode(),
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Failure(f"the coordinator's topology: {done.stderr.decode().strip()}")
    found = json.loads(done.stdout)["topology"]
    return None if found is None else pb.Topology.FromString(base64.b64decode(found))
