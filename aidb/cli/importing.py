"""`aidb import`: records from a file, in batches.

A file of a format that is checked first is read twice: what is wrong in it is told before anything is
written. Then one batch is sent while the next is read. Batches follow each other, and within one the client
keeps the order of writes on a key: of records with the same key the last one stays.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from aidb.cli import output
from aidb.cli.checkpoint import Checkpoint, Counts, identify
from aidb.cli.connection import connected, find_address, find_keyspace
from aidb.cli.exits import Exit, Failure
from aidb.cli.formats import bad_files, check, opened
from aidb.cli.progress import Advance, progress, rate
from aidb.client import Client
from aidb.errors import RequestError
from aidb.formats import BEGINNING, CHECKED_FIRST, Columns, Format, Position, Record, Rejected
from aidb.interface import Write

_BATCH_BYTES = 8 << 20
_REASONS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Request:
    """``file`` is a path or "-"; ``batch`` counts records. ``skip_bad`` None: as is usual with the format."""

    file: str
    format: str
    key: str | None
    columns: Columns
    batch: int
    strict: bool
    skip_bad: bool | None
    rejects: Path | None
    resume: bool

    @property
    def checked_first(self) -> bool:
        if self.skip_bad is None:
            return self.format in CHECKED_FIRST and not self.strict
        return not self.skip_bad


@dataclass(slots=True)
class Batch:
    """Records sent together, and what of the input before ``end`` was no record."""

    writes: list[Write] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    bytes: int = 0
    expired: int = 0
    end: Position = BEGINNING


def import_file(request: Request, address: str | None, timeout: float, as_json: bool) -> None:
    """Load the file. Raises Failure: REJECTED when all else is loaded."""
    started = time.monotonic()
    with ExitStack() as stack:
        reader = opened(request.format, request.key, request.columns)
        stream = stack.enter_context(_open(request.file))
        if request.file == "-" and request.checked_first:
            stream = stack.enter_context(_kept(stream))
        checkpoint = None
        position, counts = BEGINNING, Counts()
        if request.file != "-":
            source = Path(request.file)
            identity = identify(
                source,
                find_address(address),
                find_keyspace(),
                request.format,
                request.key,
                request.columns,
            )
            checkpoint = Checkpoint(source, identity)
        if request.resume:
            if checkpoint is None:
                raise Failure("--resume needs a file: standard input cannot be read twice", Exit.BAD_INPUT)
            position, counts = checkpoint.load()
            stream.seek(position.offset)
        total = None if request.file == "-" else Path(request.file).stat().st_size
        if request.checked_first:
            with progress("checking", total) as advance:
                check(reader.read(stream, position), advance)
            stream.seek(position.offset)
        rejects = stack.enter_context(_rejects(request.rejects, append=position != BEGINNING))
        client = stack.enter_context(connected(address, timeout))
        advance = stack.enter_context(progress("importing", total))
        run = _Import(request, reader, client, checkpoint, rejects, advance, counts)
        resumed = position.line
        already = counts.records
        with bad_files():
            run.load(stream, position)
    seconds = time.monotonic() - started
    _tell(request, counts, counts.records - already, resumed, seconds, as_json)
    run.tell_rejected()


class _Import:
    def __init__(
        self,
        request: Request,
        reader: Format,
        client: Client,
        checkpoint: Checkpoint | None,
        rejects: TextIO | None,
        advance: Advance,
        counts: Counts,
    ) -> None:
        self._request = request
        self._reader = reader
        self._client = client
        self._checkpoint = checkpoint
        self._rejects = rejects
        self._advance = advance
        self._counts = counts
        self._started = time.monotonic()
        self._reasons: list[str] = []

    def load(self, stream: BinaryIO, start: Position) -> None:
        """Everything from ``start``, where ``stream`` stands."""
        records = self._reader.read(stream, start)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="import") as sender:
            sending: Future[Batch] | None = None
            for batch in _batches(records, start, self._request.batch):
                if sending is not None:
                    self._sent(sending.result())
                sending = sender.submit(self._send, batch)
                if batch.rejected and self._request.strict:
                    break
            if sending is not None:
                self._sent(sending.result())
        if self._checkpoint is not None:
            self._checkpoint.remove()

    def _send(self, batch: Batch) -> Batch:
        """Raises what keeps a record from being written that is no fault of the record's."""
        if batch.rejected and self._request.strict:
            first = batch.rejected[0].line
            kept = [index for index, line in enumerate(batch.lines) if line < first]
            batch.writes = [batch.writes[index] for index in kept]
        if not batch.writes:
            return batch
        result = self._client.write_many(batch.writes)
        for index, error in result.errors.items():
            if not isinstance(error, RequestError):
                raise error
            batch.rejected.append(Rejected(batch.lines[index], error.message, batch.end))
            batch.bytes -= _size(batch.writes[index])
        self._counts.records += len(batch.writes) - len(result.errors)
        return batch

    def _sent(self, batch: Batch) -> None:
        counts = self._counts
        counts.bytes += batch.bytes
        counts.expired += batch.expired
        counts.rejected += len(batch.rejected)
        for rejected in sorted(batch.rejected, key=lambda rejected: rejected.line):
            self._reject(rejected)
        if self._checkpoint is not None:
            self._save(batch.end)
        text = rate(counts.records, time.monotonic() - self._started, "records")
        self._advance(batch.end.offset, text)

    def _reject(self, rejected: Rejected) -> None:
        if self._request.strict:
            raise Failure(
                f"line {rejected.line}: {rejected.reason}; stopped here (--strict), "
                f"{self._counts.records:,} records were loaded",
                Exit.REJECTED,
            )
        if self._rejects is not None:
            self._rejects.write(json.dumps({"line": rejected.line, "reason": rejected.reason}) + "\n")
        if len(self._reasons) < _REASONS_SHOWN:
            self._reasons.append(f"  line {rejected.line}: {rejected.reason}")

    def _save(self, end: Position) -> None:
        assert self._checkpoint is not None
        try:
            self._checkpoint.save(end, self._counts)
        except OSError as error:
            output.note(f"no checkpoint beside the file ({error.strerror}): --resume will not be possible")
            self._checkpoint = None

    def tell_rejected(self) -> None:
        """Raises Failure when something was rejected."""
        rejected = self._counts.rejected
        if not rejected:
            return
        shown = "\n".join(self._reasons)
        more = "" if rejected <= len(self._reasons) else f"\n  ... {rejected - len(self._reasons):,} more"
        output.note(shown + more)
        where = f": see {self._request.rejects}" if self._request.rejects else "; --rejects FILE keeps them"
        raise Failure(f"{rejected:,} records were rejected{where}", Exit.REJECTED)


def _batches(records: Iterator[Record | Rejected], start: Position, most: int) -> Iterator[Batch]:
    """At most ``most`` records and some MiB each."""
    batch = Batch(end=start)
    now_ms = time.time_ns() // 1_000_000
    for record in records:
        line, batch.end = batch.end.line + 1, record.end
        if isinstance(record, Rejected):
            batch.rejected.append(record)
        elif 0 < record.expires_at_ms <= now_ms:
            batch.expired += 1
        else:
            ttl_ms = record.expires_at_ms - now_ms if record.expires_at_ms else 0
            batch.writes.append(Write(record.key, record.value, ttl_ms))
            batch.lines.append(line)
            batch.bytes += _size(batch.writes[-1])
        if len(batch.writes) + len(batch.rejected) >= most or batch.bytes >= _BATCH_BYTES:
            yield batch
            batch = Batch(end=batch.end)
            now_ms = time.time_ns() // 1_000_000
    yield batch


def _size(write: Write) -> int:
    return len(write.key) + len(write.value or b"")


@contextmanager
def _open(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        if sys.stdin.isatty():
            output.note("reading records from the terminal; end with Ctrl-D")
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}", Exit.BAD_INPUT) from error
    with stream:
        yield stream


@contextmanager
def _kept(stream: BinaryIO) -> Iterator[BinaryIO]:
    """A copy on disk: what is to be checked first has to be read twice."""
    with tempfile.TemporaryFile(prefix="aidb-import-") as copy:
        shutil.copyfileobj(stream, copy)
        copy.seek(0)
        yield cast(BinaryIO, copy)


@contextmanager
def _rejects(path: Path | None, append: bool) -> Iterator[TextIO | None]:
    if path is None:
        yield None
        return
    try:
        stream = path.open("a" if append else "w")
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}", Exit.BAD_INPUT) from error
    with stream:
        yield stream


def _tell(request: Request, counts: Counts, loaded: int, resumed: int, seconds: float, as_json: bool) -> None:
    if as_json:
        output.document(
            {
                "file": request.file,
                "format": request.format,
                "records": counts.records,
                "bytes": counts.bytes,
                "rejected": counts.rejected,
                "expired": counts.expired,
                "resumed_after_line": resumed,
                "seconds": round(seconds, 3),
                "records_per_second": round(loaded / seconds),
            }
        )
        return
    after = f" (resumed after line {resumed:,}: {loaded:,} in this run)" if resumed else ""
    expired = f", {counts.expired:,} had expired" if counts.expired else ""
    output.note(
        f"{rate(loaded, seconds, 'records')}, {output.human_bytes(counts.bytes)} "
        f"in {seconds:.1f} s{after}{expired}"
    )
