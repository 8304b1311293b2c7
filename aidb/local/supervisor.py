"""The daemon that keeps a local cluster's programs running: `python -m aidb.local.supervisor --data DIR`.

It takes the directory's lock, adopts what runs already, starts the rest and restarts what ends, with
exponential backoff. SIGTERM stops the programs in order and then itself. With `--owner FD` it does the same
when the other end of that pipe is closed, so that a foreground `aidb up` takes its cluster along however it
dies. When the supervisor itself is killed the programs go on serving, unwatched; the next `aidb up` adopts
them, `aidb down` stops them.
"""

from __future__ import annotations

import argparse
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aidb.local import children, lock, plan, retired, secure, state
from aidb.local.description import Description, load
from aidb.local.incarnations import primary_name
from aidb.local.layout import Layout
from aidb.local.ports import is_listening
from aidb.local.processes import Process, find, marked
from aidb.local.programs import Program, programs
from aidb.local.refusal import Refused
from aidb.local.wanted import Wanted, Watch
from aidb.logs import fields, set_up
from aidb.logs.settings import of_environment

log = logging.getLogger("aidb.supervisor")

# Seconds between two looks at the processes; the end of an own child wakes at once.
_PERIOD = 0.25
_START_PERIOD = 0.03
_LOG_PERIOD = 10.0


class Supervisor:
    """``run`` returns after a signal or the owner's end, with every program stopped."""

    def __init__(self, layout: Layout, description: Description) -> None:
        self._layout = layout
        self._description = description
        self._uid = description.cluster_uid
        self._watch = Watch(layout, description)
        look = self._watch.look()
        self._secure(look)
        self._wanted: Sequence[Program] = programs(description, layout, look)
        self._histories = {program.name: plan.History() for program in self._wanted}
        self._first = frozenset(self._histories)
        self._newcomer_at = -plan.NEWCOMER_SECONDS
        self._running: dict[str, Process] = {}
        self._own: dict[str, subprocess.Popen[bytes]] = {}
        self._exit_codes: dict[str, int] = {}
        self._leaving: dict[str, float] = {}
        self._logs_checked = time.monotonic()

    def run(self, stop: int, owner: int | None) -> None:
        """``stop`` and ``owner`` are descriptors: readable = end."""
        self._adopt()
        self._publish()
        watched = [stop] if owner is None else [stop, owner]
        while True:
            starting = self._step()
            ready, _, _ = select.select(watched, [], [], _START_PERIOD if starting else _PERIOD)
            if ready and self._asked_to_stop(ready, stop):
                break
        children.stop_in_order(self._uid)

    def _asked_to_stop(self, ready: list[int], stop: int) -> bool:
        """The wake-up pipe also reports ended children: one byte, the signal's number."""
        return stop not in ready or any(number != signal.SIGCHLD for number in os.read(stop, 512))

    def _adopt(self) -> None:
        inventory = plan.take_over(self._wanted, find(self._uid))
        children.stop([running.process for running in inventory.unwanted])
        for name, running in inventory.adopted.items():
            self._running[name] = running.process
            self._histories[name] = plan.after_start(self._histories[name], time.monotonic())
            log.info("adopted %s", name, extra=fields(pid=running.process.pid))

    def _step(self) -> bool:
        """Look once and act; returns whether programs wait for their first start."""
        now = time.monotonic()
        changed = self._note_wanted(now) | self._note_ends(now)
        idle = [p for p in self._wanted if self._histories[p.name].started is None]
        listening = {port for port in {p.needs for p in idle} if port is not None and is_listening(port)}
        due = plan.due(idle, self._histories, listening, now)
        for program in plan.one_by_one(due, self._histories, self._first, now - self._newcomer_at):
            if plan.is_newcomer(program, self._histories, self._first):
                self._newcomer_at = now
            self._start(program, now)
            changed = True
        if changed:
            self._publish()
        if now - self._logs_checked >= _LOG_PERIOD:
            self._logs_checked = now
            for name in (*self._histories, "supervisor"):
                children.bound_log(self._layout.log(name))
        return any(history.starts == 0 for history in self._histories.values())

    def _note_wanted(self, now: float) -> bool:
        """Other shards, incarnations or replicas may be wanted now; those that are not any more are told to
        end, and are made to.
        """
        look = self._watch.look()
        wanted = programs(self._description, self._layout, look)
        for name, kill_at in self._leaving.items():
            if now >= kill_at and name in self._running:
                self._running[name].signal(signal.SIGKILL)
        if wanted == self._wanted:
            return False
        names = {program.name for program in wanted}
        for program in self._wanted:
            if program.name in names:
                continue
            log.info("%s is not wanted any more", program.name)
            if program.name in self._running:
                self._leaving[program.name] = now + children.GRACE
                self._running[program.name].signal(signal.SIGTERM)
                # A stopped process would not notice.
                self._running[program.name].signal(signal.SIGCONT)
            else:
                self._forget(program.name)
        self._secure(look)
        for program in wanted:
            self._histories.setdefault(program.name, plan.History())
            self._leaving.pop(program.name, None)
        self._wanted = wanted
        return True

    def _secure(self, wanted: Wanted) -> None:
        """Certificates for programs that are new."""
        if not self._description.secure:
            return
        try:
            secure.ensure(self._layout, wanted.names)
        except Refused as error:
            log.error("no certificates: %s", error)

    def _forget(self, name: str) -> None:
        self._leaving.pop(name, None)
        self._histories.pop(name, None)
        self._exit_codes.pop(name, None)
        look = self._watch.look()
        for kept in retired.retired(self._layout, look.incarnations):
            if name == primary_name(kept.shard, kept.incarnation) and not kept.disposable:
                log.info("what %s had is kept in %s", name, kept.directory)
        for directory in retired.remove(self._layout, look.incarnations, self._running):
            log.info("removed %s: it was handed over, or never served", directory)

    def _note_ends(self, now: float) -> bool:
        ended = []
        for name, process in self._running.items():
            own = self._own.get(name)
            if process.alive if own is None else own.poll() is None:
                continue
            ended.append(name)
            if own is not None:
                self._exit_codes[name] = own.returncode
        for name in ended:
            del self._running[name]
            self._own.pop(name, None)
            if name in self._leaving:
                log.info("%s ended", name, extra=fields(exit=self._exit_codes.get(name, "unknown")))
                self._forget(name)
                continue
            self._histories[name] = plan.after_exit(self._histories[name], now)
            wait = self._histories[name].not_before - now
            code = self._exit_codes.get(name, "unknown")
            log.warning("%s ended", name, extra=fields(exit=code, restart_seconds=round(wait, 1)))
        return bool(ended)

    def _start(self, program: Program, now: float) -> None:
        history = plan.after_start(self._histories[program.name], now)
        try:
            environment = marked(self._uid, program.name)
            child = children.start(program.command, environment, self._layout.log(program.name))
        except OSError as error:
            log.error("cannot start %s: %s", program.name, error)
            self._histories[program.name] = plan.after_exit(history, now)
            return
        process = Process.of(child.pid)
        self._own[program.name] = child
        # A child that has ended already is noticed through its Popen.
        self._running[program.name] = process or Process(child.pid, 0)
        self._histories[program.name] = history
        log.info("started %s", program.name, extra=fields(pid=child.pid))

    def _publish(self) -> None:
        told = {}
        for name, history in self._histories.items():
            process = self._running.get(name)
            told[name] = state.ChildState(
                pid=0 if process is None else process.pid,
                restarts=history.restarts,
                exit_code=self._exit_codes.get(name),
                failures=history.failures,
            )
        state.write(self._layout.state, state.SupervisorState(os.getpid(), told))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 stopped as asked or another supervisor is there, 2 no cluster in the directory."""
    parser = argparse.ArgumentParser(prog="aidb-supervisor")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--owner", type=int)
    options = parser.parse_args(arguments)
    layout = Layout.at(options.data)
    stop = _signals()
    description = load(layout)
    uid = description.cluster_uid if description else ""
    set_up("aidb-supervisor", *of_environment(), member="supervisor", cluster=uid)
    if description is None:
        log.error("no cluster in %s", layout.root)
        return 2
    if lock.acquire(layout.lock) is None:
        return 0
    supervisor = Supervisor(layout, description)
    supervisor.run(stop, options.owner)
    layout.state.unlink(missing_ok=True)
    log.info("stopped")
    if description.ephemeral:
        shutil.rmtree(layout.root, ignore_errors=True)
    return 0


def _signals() -> int:
    """Signals become bytes in a pipe, so that none is lost between a look and the wait."""
    receive, send = os.pipe()
    os.set_blocking(receive, False)
    os.set_blocking(send, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.set_wakeup_fd(send, warn_on_full_buffer=False)
    return receive


if __name__ == "__main__":
    sys.exit(main())
