"""What a local cluster's directory says, also when nothing of the cluster runs: how it was made, what the
supervisor last said, the ends of the logs. Of security/ nothing is read but to know what to hide.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from aidb.local.cluster import LocalCluster
from aidb.local.processes import find
from aidb.report import findings
from aidb.report.archive import Archive
from aidb.report.findings import Finding

# Of a log's end that is looked through for lines.
_MOST_BYTES = 8 << 20
_VARIABLES = ("AIDB_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def add(cluster: LocalCluster, archive: Archive, lines: int) -> Iterator[Finding]:
    """Into ``archive``; what is wrong comes back."""
    layout = cluster.layout
    running = find(cluster.description.cluster_uid)
    archive.add_document("local/description.json", asdict(cluster.description))
    processes = [{"name": one.name, "pid": one.process.pid, "command": list(one.command)} for one in running]
    archive.add_document("local/processes.json", processes)
    state = cluster.state()
    if state is None:
        archive.lacks("local/supervisor.json", "the supervisor does not run")
        yield findings.of_silence("supervisor", "nothing restarts programs that end; aidb up starts it")
    else:
        archive.add_document("local/supervisor.json", asdict(state))
        for name, child in state.children.items():
            yield from findings.of_restarts(name, child.restarts, child.failures, child.exit_code)
    for log in sorted(layout.logs.glob("*.log*")):
        try:
            archive.add(f"logs/{log.name}", _end(log, lines))
        except OSError as error:
            archive.lacks(f"logs/{log.name}", error.strerror)
    disk = shutil.disk_usage(layout.root)
    yield from findings.of_disk(str(layout.root), disk.free, disk.total)


def secrets(cluster: LocalCluster | None) -> frozenset[str]:
    """Those that lie about here: they are hidden wherever they turn up."""
    found = {os.environ.get(name, "") for name in _VARIABLES}
    files = [os.environ.get("AIDB_TOKEN_FILE", "")]
    if cluster is not None and cluster.tls is not None and cluster.tls.token_file is not None:
        files.append(str(cluster.tls.token_file))
    for name in filter(None, files):
        try:
            found.add(Path(name).read_text().strip())
        except (OSError, UnicodeDecodeError):
            continue
    return frozenset(filter(None, found))


def _end(log: Path, lines: int) -> str:
    """Raises OSError."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _MOST_BYTES))
        content = file.read(_MOST_BYTES).decode(errors="replace")
    return "".join(f"{line}\n" for line in content.splitlines()[-lines:])
