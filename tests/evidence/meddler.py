"""A gRPC proxy in front of one server that loses, delays and repeats messages, one by one.

Where `proxy` treats connections, this treats calls: it knows the methods of `SERVICES` from their descriptors
and passes bytes on. While `chance` is above 0, a unary call may be

    lost      not delivered; the caller is told UNAVAILABLE, as by a connection that broke
    unheard   delivered, and its answer lost
    twice     delivered twice in a row; the second answer is passed on
    late      delivered, and once more up to `LATEST` seconds later, when nobody waits for it
    delayed   delivered after a while
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc

from aidb.v1 import cluster_pb2, moving_pb2

SERVICES = tuple(
    file.services_by_name[name]
    for file, name in (
        (cluster_pb2.DESCRIPTOR, "Discovery"),
        (cluster_pb2.DESCRIPTOR, "Coordination"),
        (moving_pb2.DESCRIPTOR, "Moving"),
    )
)
# What a repetition of which is somebody else's question (evidence-zombie).
DELIVERED_ONCE = {"Register", "TakeOver", "WantSuccessor", "Leave"}
KINDS = ("lost", "unheard", "twice", "late", "delayed")
LATEST = 3.0
LONGEST_DELAY = 0.4
_THREADS = 24
_MESSAGE_BYTES = 64 << 20
_OPTIONS = [
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class Meddler:
    """A context manager: listens on a free loopback `port`, passes on to `target_port`."""

    def __init__(self, target_port: int, rng: random.Random) -> None:
        self.chance = 0.0
        self.counts: Counter[str] = Counter()
        self._rng = rng
        self._timers: set[threading.Timer] = set()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{target_port}", options=_OPTIONS)
        self._server = grpc.server(ThreadPoolExecutor(_THREADS, "meddler"), options=_OPTIONS)
        for service in SERVICES:
            handlers = {
                method.name: self._handler(f"/{service.full_name}/{method.name}", method.server_streaming)
                for method in service.methods
            }
            generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
            self._server.add_generic_rpc_handlers((generic,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.chance = 0.0
        self._server.stop(0).wait()
        for timer in list(self._timers):
            timer.cancel()
        self._channel.close()

    def _handler(self, path: str, streaming: bool) -> grpc.RpcMethodHandler[bytes, bytes]:
        if streaming:
            stream: Any = self._channel.unary_stream(path, None, None)

            def follow(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
                call = stream(request, metadata=_metadata(context), timeout=context.time_remaining())
                context.add_callback(lambda: _cancelled(call))
                try:
                    yield from call
                except grpc.RpcError as error:
                    _pass_on(error, context)

            return grpc.unary_stream_rpc_method_handler(follow)
        send: Any = self._channel.unary_unary(path, None, None)
        once = path.rpartition("/")[2] in DELIVERED_ONCE

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            metadata, left = _metadata(context), context.time_remaining()

            def deliver() -> bytes:
                answered: bytes = send(request, metadata=metadata, timeout=left)
                return answered

            kind = self._draw()
            if once and kind not in ("", "lost", "delayed"):
                kind = ""
            if kind:
                self.counts[f"messages_{kind}"] += 1
            try:
                if kind == "lost":
                    context.abort(grpc.StatusCode.UNAVAILABLE, "lost on the way there")
                if kind == "delayed":
                    threading.Event().wait(self._rng.uniform(0.0, LONGEST_DELAY))
                if kind == "late":
                    self._later(lambda: send.future(request, metadata=metadata, timeout=5.0))
                answered = deliver()
                if kind == "twice":
                    answered = deliver()
            except grpc.RpcError as error:
                _pass_on(error, context)
                raise
            if kind == "unheard":
                context.abort(grpc.StatusCode.UNAVAILABLE, "lost on the way back")
            return answered

        return grpc.unary_unary_rpc_method_handler(answer)

    def _draw(self) -> str:
        return self._rng.choice(KINDS) if self._rng.random() < self.chance else ""

    def _later(self, work: Any) -> None:
        def run() -> None:
            self._timers.discard(timer)
            try:
                work()
            except ValueError:  # grpc's for a channel that was closed
                return

        timer = threading.Timer(self._rng.uniform(0.05, LATEST), run)
        timer.daemon = True
        self._timers.add(timer)
        timer.start()


def _metadata(context: grpc.ServicerContext) -> tuple[tuple[str, str | bytes], ...]:
    pairs: Any = context.invocation_metadata()
    return tuple(
        (key, value)
        for key, value in pairs
        if not key.startswith((":", "grpc-")) and key not in ("user-agent", "te", "content-type")
    )


def _cancelled(call: Any) -> None:
    call.cancel()


def _pass_on(error: grpc.RpcError, context: grpc.ServicerContext) -> None:
    """Ends the call as the server did. Raises, always."""
    call: Any = error
    context.set_trailing_metadata(tuple(call.trailing_metadata() or ()))
    context.abort(call.code(), call.details() or "")
