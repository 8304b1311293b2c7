"""A local cluster as commands see it: prepare, start, look, stop."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aidb.local import children, lock, ports, secure, state, wanted
from aidb.local.description import Description, Wish, load, save
from aidb.local.layout import Layout
from aidb.local.processes import Process, find
from aidb.local.refusal import Refused
from aidb.local.wanted import Wanted
from aidb.options import Tls

_LOCK_WAIT = 10.0
_POLL = 0.03
# Four groups of programs one after the other, each with its grace, and some for the supervisor itself.
STOP_WAIT = 4 * (children.GRACE + 5) + 5


@dataclass(slots=True)
class LocalCluster:
    """The cluster in one data directory, running or not."""

    layout: Layout
    description: Description
    _owner: int | None = field(default=None, repr=False)

    @classmethod
    def existing(cls, data: Path) -> LocalCluster | None:
        """The cluster in ``data``, None when there is none.

        Raises:
            Refused: the directory is something else, damaged or newer.
        """
        layout = Layout.at(data)
        description = load(layout)
        return None if description is None else cls(layout, description)

    @classmethod
    def prepare(cls, data: Path, wish: Wish) -> LocalCluster:
        """The cluster in ``data`` as wished, made if there is none. Nothing is started.

        Raises:
            Refused: the directory or a port cannot be used, or the cluster in it is another than wished.
        """
        layout = Layout.at(data)
        if layout.root.exists() and not layout.root.is_dir():
            raise Refused(f"{layout.root} is no directory: choose another with --data")
        description = load(layout)
        if description is not None:
            cluster = cls(layout, description)
            description.check(wish, layout.root, shards=len(cluster.wanted.incarnations))
            layout.make_writable()
            cluster._require_free_ports()
            cluster._ensure_security()
            return cluster
        cluster = cls(layout, Description.new(wish))
        cluster._require_free_ports()
        layout.make_writable()
        try:
            save(layout, cluster.description)
        except OSError as error:
            raise Refused(f"cannot write {layout.description}: {error.strerror}") from error
        cluster._ensure_security()
        return cluster

    @classmethod
    def ephemeral(cls, wish: Wish) -> LocalCluster:
        """A new cluster in a temporary directory, which goes when the cluster stops.

        Raises:
            Refused: see `prepare`.
        """
        data = Path(tempfile.mkdtemp(prefix="aidb-"))
        try:
            return cls.prepare(data, wish)
        except Refused:
            data.rmdir()
            raise

    @property
    def address(self) -> str:
        return self.description.coordinator

    @property
    def wanted(self) -> Wanted:
        """The shards and replicas that it is to have now."""
        return wanted.of(self.layout, self.description)

    @property
    def tls(self) -> Tls | None:
        """What to connect with; None: the cluster is not secured."""
        return secure.client_tls(self.layout) if self.description.secure else None

    @property
    def supervisor(self) -> int | None:
        """The supervisor's pid, None when there is none."""
        return lock.holder(self.layout.lock)

    def running(self) -> set[str]:
        """The names of the programs that run."""
        return children.names(find(self.description.cluster_uid))

    def state(self) -> state.SupervisorState | None:
        """What the supervisor last said."""
        return state.read(self.layout.state)

    def last_words(self, name: str) -> str:
        """The last line of a program's log."""
        return children.last_words(self.layout.log(name))

    def start(self, *, owned: bool) -> bool:
        """Make sure that a supervisor runs; False when one did before. ``owned``: it ends with this process.

        Raises:
            Refused: the supervisor does not start.
        """
        if self.supervisor is not None:
            return False
        command = [sys.executable, "-P", "-m", "aidb.local.supervisor", "--data", str(self.layout.root)]
        inherited: tuple[int, ...] = ()
        if owned:
            receive, self._owner = os.pipe()
            command += ["--owner", str(receive)]
            inherited = (receive,)
        self.layout.state.unlink(missing_ok=True)
        log = self.layout.log("supervisor")
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=inherited,
            )
        for descriptor in inherited:
            os.close(descriptor)
        deadline = time.monotonic() + _LOCK_WAIT
        while not self.supervisor and process.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL)
        if self.supervisor is None:
            raise Refused(f"the supervisor does not start: {children.last_words(log)}; see {log}")
        return True

    def stop(self, on_wait: Callable[[set[str]], None] = lambda _: None) -> bool:
        """Stop the programs in order, then the supervisor; False when nothing ran.

        ``on_wait`` is told now and then what still runs. A supervisor that does not come to its end is
        killed, and what is left is stopped from here.
        """
        pid = self.supervisor
        supervised = pid is not None
        supervisor = Process.of(pid) if pid else None
        if supervisor is not None:
            supervisor.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_WAIT
        while self.supervisor is not None and time.monotonic() < deadline:
            on_wait(self.running())
            time.sleep(_POLL)
        if supervisor is not None:
            supervisor.signal(signal.SIGKILL)
        left = children.stop_in_order(self.description.cluster_uid)
        if self.description.ephemeral:
            shutil.rmtree(self.layout.root, ignore_errors=True)
        return supervised or left > 0

    def _ensure_security(self) -> None:
        if self.description.secure:
            secure.ensure(self.layout, self.wanted.names)

    def _require_free_ports(self) -> None:
        """Of the programs that do not run yet."""
        running = self.running()
        away = [name for name in self.wanted.names if name in self.description.ports and name not in running]
        ports.require_free((name, self.description.ports[name]) for name in away)
        ports.require_free((f"metrics of {name}", self.description.metrics_port(name)) for name in away)
