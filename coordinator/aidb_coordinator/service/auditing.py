"""Around every call that is for administrators: the audit log learns who asked for what, and what came of it.

It is there with and without security, and outside of the guard, so that it sees what that refuses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from aidb.security.access import required
from aidb.security.audit import DONE
from aidb.v1 import access_pb2
from aidb_coordinator import origin
from aidb_coordinator.audit import AuditLog
from aidb_coordinator.service.answers import Context

_REFUSALS = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


class Auditing(grpc.aio.ServerInterceptor):
    """Of unary calls; no stream is for administrators."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        path = handler_call_details.method
        if handler is None or handler.unary_unary is None or required(path) != access_pb2.ACCESS_ADMIN:
            return handler
        behaviour: Any = handler.unary_unary
        act = path.rpartition("/")[2]

        async def audited(request: Any, context: Context) -> Any:
            outcome = "failed: it was cancelled"
            try:
                answer = await behaviour(request, context)
                outcome = DONE
                return answer
            except grpc.aio.AbortError:
                kind = "refused" if context.code() in _REFUSALS else "failed"
                outcome = f"{kind}: {context.details()}"
                raise
            finally:
                asked = MessageToDict(request, preserving_proto_field_name=True)
                self._log.add(origin.caller(context.peer()), act, asked, outcome)

        made: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
            audited, handler.request_deserializer, handler.response_serializer
        )
        return made
