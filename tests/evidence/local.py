"""A local cluster as `aidb up` runs it, in a directory that goes with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from aidb.local.cluster import LocalCluster
from aidb.local.description import Wish
from tests.evidence.status import wait_whole

SHARDS, REPLICAS = 3, 2
WHOLE_SECONDS = 90.0


@contextmanager
def local_cluster(purpose: str) -> Iterator[LocalCluster]:
    """Three shards with two replicas each, whole; all its programs are gone at the end."""
    with ExitStack() as stack:
        root = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"aidb-{purpose}-"))
        cluster = LocalCluster.prepare(Path(root) / "data", Wish(SHARDS, REPLICAS, port=0))
        stack.callback(cluster.stop)
        cluster.start(owned=False)
        problem = wait_whole(cluster.address, REPLICAS, WHOLE_SECONDS)
        if problem:
            raise RuntimeError(f"the cluster does not start: {problem}")
        yield cluster
