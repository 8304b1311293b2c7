"""Parts of a run at once, each in a process of its own: most of a round is waiting for processes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any


@contextmanager
def lanes(
    work: Callable[..., None], parts: Sequence[tuple[Any, ...]], context: ForkContext | SpawnContext
) -> Iterator[Iterator[Any]]:
    """Calls ``work(*part, connection)`` in a process for each part; what they send, until all have ended.
    Those that still run at the end are told to end, and put away what they started.
    """
    processes: list[BaseProcess] = []
    outputs: list[Connection] = []
    try:
        for number, part in enumerate(parts):
            output, end = context.Pipe(duplex=False)
            process: BaseProcess = context.Process(target=_run, args=(work, part, end), name=f"lane-{number}")
            process.start()
            end.close()
            processes.append(process)
            outputs.append(output)
        yield _received(outputs)
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _run(work: Callable[..., None], part: tuple[Any, ...], end: Connection) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    work(*part, end)


def _received(outputs: Sequence[Connection]) -> Iterator[Any]:
    open_ = list(outputs)
    while open_:
        for output in wait(open_):
            assert isinstance(output, Connection)
            try:
                yield output.recv()
            except EOFError:
                open_.remove(output)
