"""A restore that goes on: the snapshot and its SSTs first, then the log, piece by piece as it becomes
known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from aidb.durability.catalog import Catalog
from aidb.durability.restore_plan import Step, Target
from aidb_node.recovery.choice import Choice
from aidb_node.recovery.recover import WORK, Prepared, Report, Seen, fetch, held_while, open_snapshot
from aidb_node.recovery.replay import Replayed, replay


class Following:
    """A context manager. `replay`, again and again if there is more, then `finish`.

    The SSTs are there when it is entered. What is left without `finish` lies beside what the directory holds,
    and the next restore goes on with its SSTs.

    Raises, when it is entered: ObjectError, AidbError, OSError.
    """

    def __init__(
        self, catalog: Catalog, directory: Path, choice: Choice, seen: Seen, at_once: int = 8
    ) -> None:
        self._catalog = catalog
        self._directory = directory
        self._choice = choice
        self._at_once = at_once
        self._seen = seen
        self._stack = contextlib.ExitStack()
        self._done: Replayed | None = None
        self._at = _before(choice)

    def __enter__(self) -> Following:
        with contextlib.ExitStack() as stack:
            stack.enter_context(held_while(self._catalog, self._choice))
            self._base = fetch(self._catalog, self._choice, self._directory, self._at_once, self._seen)
            # What a tail adds is in no archive yet.
            self.store = open_snapshot(self.work, self._base.manifest, keep_log=True)
            stack.callback(self.store.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def work(self) -> Path:
        """Where the store lies until `finish`."""
        return self._directory / WORK

    @property
    def position(self) -> tuple[int, int]:
        """(epoch, sequence) of the piece that was applied last, or of the one before the first."""
        return self._at

    @property
    def lsn(self) -> int:
        """Reached so far."""
        return self.store.position()[1]

    def replay(self, steps: Sequence[Step] | None = None) -> Replayed:
        """Applies ``steps``, or those of the choice, that are not applied yet; what is done in all. Raises
        ObjectError.
        """
        offered = self._choice.steps if steps is None else steps
        wanted = [step for step in offered if (step.epoch, step.sequence) > self._at]
        total = len(wanted)
        done = replay(
            self.store, self._catalog, wanted, Target(), lambda now: self._seen("log", now.pieces, total)
        )
        if wanted and done.loss is None:
            self._at = (wanted[-1].epoch, wanted[-1].sequence)
        if self._done is not None:
            done.records += self._done.records
            done.pieces += self._done.pieces
            done.bytes += self._done.bytes
        self._done = done
        return done

    def finish(self) -> Report:
        """Makes it durable and puts it in place. Raises AidbError, OSError."""
        done = self._done or self.replay([])
        self.store.flush()
        position = self.store.position()
        self._stack.close()
        return Prepared(self._base.report(done, position, None), self._directory).put_in_place()


def _before(choice: Choice) -> tuple[int, int]:
    """The position before the first piece to apply."""
    manifest = choice.manifest
    if manifest is None:
        return choice.branches[-1].epoch, -1
    epoch, sequence = manifest.log or (manifest.place.epoch, 0)
    return epoch, sequence - 1
