"""`aidb up` and `aidb down`."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from aidb.cli import output
from aidb.cli.exits import Exit, Failure
from aidb.cli.readiness import ProgramState, program_states, refused
from aidb.local.cluster import LocalCluster
from aidb.local.description import Wish
from aidb.security.client import calling
from aidb.v1 import cluster_pb2 as pb
from aidb.v1.cluster_pb2_grpc import CoordinationStub

if TYPE_CHECKING:
    from rich.table import Table

_POLL = 0.1
_FOREGROUND_POLL = 0.5
_CALL_TIMEOUT = 1.0


def up(data: Path, wish: Wish, *, detach: bool, timeout: float) -> None:
    """Start the cluster, or what of it does not run, and wait until it is ready.

    Raises:
        Refused: it cannot run as asked.
        Failure: it does not become ready within ``timeout`` seconds. A cluster of which nothing ran before is
            stopped again.
    """
    begin = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    cluster = LocalCluster.ephemeral(wish) if wish.ephemeral else LocalCluster.prepare(data, wish)
    served_before = bool(cluster.running())
    started = cluster.start(owned=not detach)
    try:
        _wait_ready(cluster, begin + timeout)
    except BaseException:
        if started and not served_before:
            cluster.stop()
        raise
    _welcome(cluster, time.monotonic() - begin, started)
    if started and not detach:
        _stay(cluster)


def down(data: Path) -> None:
    """Stop the cluster in ``data``. That nothing runs is no error."""
    cluster = LocalCluster.existing(data)
    if cluster is None:
        output.note(f"no cluster in {data}: nothing to stop")
        return
    begin = time.monotonic()
    with _live() as show:
        stopped = cluster.stop(lambda running: show(_names_table(running)))
    if not stopped:
        output.note(f"the cluster in {cluster.layout.root} does not run")
        return
    kept = (
        "its data is deleted" if cluster.description.ephemeral else f"its data stays in {cluster.layout.root}"
    )
    output.note(f"stopped in {time.monotonic() - begin:.1f} s; {kept}")


def _wait_ready(cluster: LocalCluster, deadline: float) -> None:
    with calling(cluster.address, _FAST_RECONNECT, cluster.tls) as channel, _live() as show:
        stub = CoordinationStub(channel)
        while True:
            supervisor = cluster.state()
            states = program_states(cluster.description, cluster.wanted.names, supervisor, _status(stub))
            show(_table(states))
            if supervisor is not None and all(state.ready for state in states):
                return
            for name in refused(supervisor):
                raise Failure(_why(cluster, name), Exit.BAD_INPUT)
            if cluster.supervisor is None:
                raise Failure(f"the supervisor ended: {cluster.last_words('supervisor')}")
            if time.monotonic() > deadline:
                late = next(state.name for state in states if not state.ready)
                raise Failure(f"not ready in time: {_why(cluster, late)}", Exit.UNAVAILABLE)
            time.sleep(_POLL)


# The coordinator takes connections a moment after its first refusal; grpc would wait a second and more.
_FAST_RECONNECT = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200))


def _status(stub: CoordinationStub) -> pb.ClusterStatus | None:
    try:
        answer: pb.ClusterStatus = stub.GetClusterStatus(pb.GetClusterStatusRequest(), timeout=_CALL_TIMEOUT)
    except grpc.RpcError:
        return None
    return answer


def _why(cluster: LocalCluster, name: str) -> str:
    words = cluster.last_words(name) or "it said nothing"
    return f"{name}: {words} (log: {cluster.layout.log(name)})"


def _welcome(cluster: LocalCluster, seconds: float, started: bool) -> None:
    description = cluster.description
    root = cluster.layout.root
    what = f"ready in {seconds:.1f} s" if started else "runs already"
    lasting = "deleted when it stops" if description.ephemeral else "kept"
    here = "" if Path(".aidb").absolute() == root else f" --data {root}"
    output.note(
        f"{what}: {_shape(cluster)}; "
        f"data in {root}, {lasting}\n"
        f"  coordinator {description.coordinator}, router {description.address('router-0')}\n"
        "try:\n"
        f"  export AIDB_ADDRESS={description.coordinator}\n"
        f"{_security(cluster)}"
        "  aidb put greeting hello && aidb get greeting\n"
        "  apt-cache dumpavail | aidb import - --format deb822 --key Package\n"
        "  aidb status\n"
        f"  aidb down{here}"
    )


def _shape(cluster: LocalCluster) -> str:
    replicas = cluster.wanted.replicas
    counts = sorted({len(numbers) for numbers in replicas.values()})
    return f"{len(replicas)} shards, {' to '.join(map(str, {counts[0]: 0, counts[-1]: 0}))} replicas each"


def _security(cluster: LocalCluster) -> str:
    tls = cluster.tls
    if tls is None:
        return ""
    return f"  export AIDB_TLS={tls.directory} AIDB_TOKEN_FILE={tls.token_file}\n"


def _stay(cluster: LocalCluster) -> None:
    """Until Ctrl-C; the supervisor is started again should it die."""
    output.note("Ctrl-C stops the cluster")
    try:
        while cluster.description.ephemeral is False or cluster.layout.root.exists():
            time.sleep(_FOREGROUND_POLL)
            if cluster.supervisor is None:
                if cluster.state() is None:
                    return  # it stopped in order: `aidb down` elsewhere
                output.note("the supervisor died: starting another")
                cluster.start(owned=True)
    except KeyboardInterrupt:
        output.note("stopping")
        cluster.stop()


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _live() -> Any:
    """A context manager that gives a function to show a table on the terminal; without one, it shows
    nothing.
    """
    if not sys.stderr.isatty():
        return nullcontext(lambda _: None)
    return _Live()


class _Live:
    """The table disappears at the end: what stays on the screen is the summary."""

    def __enter__(self) -> Callable[[Table], None]:
        from rich.live import Live

        self._live = Live(console=output.stderr(), auto_refresh=False, transient=True)
        self._live.start()
        return lambda table: self._live.update(table, refresh=True)

    def __exit__(self, *exc: object) -> None:
        self._live.stop()


def _table(states: list[ProgramState]) -> Table | None:
    if not sys.stderr.isatty():
        return None
    from rich.table import Table

    table = Table("program", "address", "pid", "state", box=None)
    for state in states:
        style = "green" if state.ready else "yellow"
        table.add_row(
            state.name, state.address, str(state.pid or "-"), f"[{style}]{state.state}[/] {state.reason}"
        )
    return table


def _names_table(running: set[str]) -> Table | None:
    if not sys.stderr.isatty():
        return None
    from rich.table import Table

    table = Table("stopping", box=None)
    for name in sorted(running):
        table.add_row(name)
    return table
