"""The one address of a cluster whose members cannot be reached: what ``kubectl port-forward`` gives.

Every byte goes to the router and back; only the addresses in the topology's views are replaced by such that
nobody listens at, as the addresses of pods are from outside of their network.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from aidb.v1 import cluster_pb2

NOWHERE = "127.0.0.1:1"
_STREAMS = frozenset({"Scan", "WatchTopology"})


class Gateway(grpc.GenericRpcHandler):
    """Serves until `close`. ``asked``: how many calls of each method came."""

    def __init__(self, router: str) -> None:
        self.asked: dict[str, int] = {}
        self._upstream = grpc.insecure_channel(router)
        # A stream of the topology keeps its worker: one a client.
        self._server = grpc.server(ThreadPoolExecutor(max_workers=32))
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(grace=None).wait()
        self._upstream.close()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        path = str(details.method)
        name = path.rpartition("/")[2]
        self.asked[name] = self.asked.get(name, 0) + 1

        def answer(message: bytes) -> bytes:
            return _elsewhere(message) if name in ("GetTopology", "WatchTopology") else message

        def one(request: bytes, context: grpc.ServicerContext) -> bytes:
            call: Any = self._upstream.unary_unary(path)
            try:
                return answer(call(request, timeout=context.time_remaining()))
            except grpc.RpcError as error:
                return _refuse(context, error)

        def many(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            call: Any = self._upstream.unary_stream(path)
            stream = call(request, timeout=context.time_remaining())
            context.add_callback(stream.cancel)
            try:
                for message in stream:
                    yield answer(message)
            except grpc.RpcError as error:
                _refuse(context, error)

        if name in _STREAMS:
            return grpc.unary_stream_rpc_method_handler(many)
        return grpc.unary_unary_rpc_method_handler(one)


def _refuse(context: grpc.ServicerContext, error: Any) -> bytes:
    context.set_trailing_metadata(tuple(error.trailing_metadata() or ()))
    context.set_code(error.code())
    context.set_details(error.details() or "")
    return b""


def _elsewhere(message: bytes) -> bytes:
    view = cluster_pb2.ClusterView.FromString(message)
    for shard in view.topology.shards:
        for member in (shard.primary, *shard.replicas):
            if member.address:
                member.address = NOWHERE
    for router in view.topology.routers:
        router.address = NOWHERE
    return view.SerializeToString()
