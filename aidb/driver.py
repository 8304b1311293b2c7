"""Performs what operations ask for, with blocking gRPC calls."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import grpc

from aidb.attempts import Pause
from aidb.channels import failure_of, metadata_of, open_channel, storage_options
from aidb.commands import Call, CallAll, Command, Emit, FromSpare, Next, Open, Operation, Spare
from aidb.errors import Closed
from aidb.failure import Failure, too_late
from aidb.hedging import Hedging
from aidb.pool import ChannelPool, Lease
from aidb.routing import Routing
from aidb.security.client import Secured
from aidb.sources import Sources, unreachable
from aidb.v1 import storage_pb2_grpc
from aidb.watch import Watcher

T = TypeVar("T")


class Connection:
    """A channel with its stub, and what every call on it carries."""

    def __init__(self, address: str, options: list[tuple[str, int]], secured: Secured | None) -> None:
        self.channel = open_channel(address, options, secured)
        self.metadata = metadata_of(secured)
        self.stub = storage_pb2_grpc.StorageStub(self.channel)


class Driver:
    """The connections of a client and its watcher. Thread-safe."""

    def __init__(self, routing: Routing, seeds: Sequence[str], secured: Secured | None = None) -> None:
        self._routing = routing
        self._secured = secured
        self._sources = Sources(seeds, routing.retry, routing.rng, only=bool(routing.through))
        options = storage_options(routing.pool)
        pool = ChannelPool(lambda address: Connection(address, options, secured), routing.pool.channels)
        self._pool = pool

        def adopted() -> None:
            for connection in pool.retain(routing.addresses()):
                connection.channel.close()

        self._watcher = Watcher(routing, self._sources, adopted, secured)
        self._pid = os.getpid()
        self._closed = False

    def connect(self, timeout: float) -> None:
        """Start; returns when there is a topology.

        Raises:
            ClusterUnreachable: there is none within ``timeout`` seconds, or all connections were refused for
                3 s.
        """
        self._watcher.start()
        if not self._watcher.wait_first(timeout):
            self.close()
            raise unreachable(self._sources)

    def close(self) -> None:
        """Stop the watcher and close all connections, with the calls on them. Idempotent."""
        if self._closed or os.getpid() != self._pid:
            return  # in a forked child the connections belong to the parent
        self._closed = True
        self._watcher.close()
        for connection in self._pool.close():
            connection.channel.close()

    def run(self, operation: Operation[T]) -> T:
        """Perform ``operation`` to its end; returns its result or raises its error."""
        try:
            command = next(operation)
            while True:
                command = operation.send(self.perform(command))
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]

    def perform(self, command: Command) -> Any:
        """Do what an operation asks for; returns the answer.

        Raises:
            Closed: the client is closed, or this is a forked child.
        """
        if os.getpid() != self._pid:
            raise Closed("this client was connected before a fork; connect again in the child")
        match command:
            case Call():
                return self._call(command)
            case CallAll():
                return self._call_all(command.calls)
            case Pause():
                return self._pause(command)
            case Open():
                return ScanStream(self._pool, self._lease(command.address), command)
            case Next():
                assert isinstance(command.stream, ScanStream)
                return command.stream.next()
            case Emit():
                raise AssertionError("only scans emit")

    def _call(self, call: Call) -> Any:
        if call.spare is not None and self._routing.hedging is not None:
            return self._hedged(call, call.spare, self._routing.hedging)
        return self._alone(call)

    def _hedged(self, call: Call, spare: Spare, hedging: Hedging) -> Any:
        delay = hedging.began(spare.target)
        first = self._send(call)
        if isinstance(first, Failure):
            return first
        done: SimpleQueue[_Sent] = SimpleQueue()
        under_way = [first]
        answers: dict[_Sent, Any] = {}
        try:
            first.future.add_done_callback(lambda _: done.put(first))
            try:
                done.put(done.get(timeout=delay))
            except Empty:
                second = self._send(replace(call, address=spare.address)) if hedging.spend() else None
                if isinstance(second, _Sent):
                    under_way.append(second)
                    sent = second
                    second.future.add_done_callback(lambda _: done.put(sent))
            while len(answers) < len(under_way):
                ended = done.get()
                answers[ended] = self._result(ended)
                if not isinstance(answers[ended], Failure):
                    break
            if isinstance(answers[ended], Failure):
                return answers[first]
            hedging.answered(spare.target, self._routing.clock() - first.began)
            if ended is first:
                return answers[first]
            hedging.second_won()
            return FromSpare(answers[ended])
        finally:
            for sent in under_way:
                if sent not in answers:
                    sent.future.cancel()
                    self._done(sent)

    def _alone(self, call: Call) -> Any:
        timeout = call.timeout(self._routing.clock())
        if timeout <= 0:
            return too_late(call.address)
        lease = self._lease(call.address)
        began = self._routing.loads.began(call.address)
        try:
            method = getattr(lease.channel.stub, call.method)
            return method(call.request, timeout=timeout, metadata=lease.channel.metadata)
        except grpc.RpcError as error:
            return failure_of(error, call.address, call.shard)
        finally:
            self._routing.loads.ended(call.address, began, call.method == "Get")
            release(self._pool, lease)

    def _call_all(self, calls: Sequence[Call]) -> list[Any]:
        if len(calls) == 1:
            return [self._call(calls[0])]
        answers: list[Any] = []
        under_way: deque[_Sent | Failure] = deque()
        unsent = deque(calls)
        try:
            while unsent or under_way:
                while unsent and len(under_way) < self._routing.pool.workers:
                    under_way.append(self._send(unsent.popleft()))
                first = under_way[0]
                answers.append(first if isinstance(first, Failure) else self._result(first))
                under_way.popleft()
            return answers
        finally:
            for sent in under_way:
                if not isinstance(sent, Failure):
                    sent.future.cancel()
                    self._done(sent)

    def _send(self, call: Call) -> _Sent | Failure:
        timeout = call.timeout(self._routing.clock())
        if timeout <= 0:
            return too_late(call.address)
        lease = self._lease(call.address)
        method = getattr(lease.channel.stub, call.method)
        began = self._routing.loads.began(call.address)
        future = method.future(call.request, timeout=timeout, metadata=lease.channel.metadata)
        return _Sent(call, lease, future, began)

    def _result(self, sent: _Sent) -> Any:
        try:
            answer = sent.future.result()
        except grpc.RpcError as error:
            answer = failure_of(error, sent.call.address, sent.call.shard)
        except grpc.FutureCancelledError:
            raise Closed("this client is closed") from None
        self._done(sent)
        return answer

    def _done(self, sent: _Sent) -> None:
        self._routing.loads.ended(sent.call.address, sent.began, sent.call.method == "Get")
        release(self._pool, sent.lease)

    def _pause(self, pause: Pause) -> None:
        view = self._routing.view
        if pause.refresh:
            self._watcher.poke()
            if pause.seconds:
                self._watcher.wait_newer(view, pause.seconds)
        elif pause.seconds:
            self._watcher.sleep(pause.seconds)

    def _lease(self, address: str) -> Lease[Connection]:
        if self._secured is not None and self._secured.renewed():
            for connection in self._pool.retain(frozenset()):
                connection.channel.close()
        lease = self._pool.acquire(address)
        if lease is None:
            raise Closed("this client is closed")
        return lease


class _Sent:
    """A call under way."""

    __slots__ = ("began", "call", "future", "lease")

    def __init__(self, call: Call, lease: Lease[Connection], future: Any, began: float) -> None:
        self.began = began
        self.call = call
        self.lease = lease
        self.future = future


class ScanStream:
    """An open scan at one server."""

    def __init__(self, pool: ChannelPool[Connection], lease: Lease[Connection], command: Open) -> None:
        self._pool = pool
        self._lease: Lease[Connection] | None = lease
        self._command = command
        connection = lease.channel
        self._call = connection.stub.Scan(
            command.request, timeout=command.timeout, metadata=connection.metadata
        )

    def next(self) -> Any:
        """The next message, None at the end, or why there is none."""
        try:
            return next(self._call)
        except StopIteration:
            return None
        except grpc.RpcError as error:
            return failure_of(error, self._command.address, self._command.shard)

    def cancel(self) -> None:
        """End it; idempotent."""
        if self._lease is not None:
            self._call.cancel()
            release(self._pool, self._lease)
            self._lease = None


def release(pool: ChannelPool[Connection], lease: Lease[Connection]) -> None:
    """Give back a connection."""
    retired = pool.release(lease)
    if retired is not None:
        retired.channel.close()
