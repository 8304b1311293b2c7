"""`kubectl port-forward`, and a client through it: as from a developer's machine."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aidb
from aidb.client import Client
from e2e.harness.cluster import STORAGE_PORT, Cluster

_CONNECT_SECONDS = 60


@contextmanager
def client(cluster: Cluster, folder: Path) -> Iterator[Client]:
    """A client that reaches routers alone. ``folder``: for its certificates and token."""
    tls = _material(cluster, folder)
    command = cluster.kubectl.command("port-forward", f"service/{cluster.name}", f":{STORAGE_PORT}")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found, f"kubectl port-forward: {line}"
        with aidb.connect(
            f"127.0.0.1:{found[1]}", direct=False, tls=tls, timeout=_CONNECT_SECONDS
        ) as connected:
            yield connected
    finally:
        process.terminate()
        process.wait()


def _material(cluster: Cluster, folder: Path) -> aidb.Tls | None:
    name = cluster.client_secret
    if name is None:
        return None
    for file, content in cluster.kubectl.get("secret", name)["data"].items():
        (folder / file).write_bytes(base64.b64decode(content))
    return aidb.Tls(folder, token_file=folder / "token")
