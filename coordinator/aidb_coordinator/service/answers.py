"""Errors on the wire: a gRPC status, and the encoded aidb.v1.Error in the trailer `aidb-error-bin`."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import grpc

from aidb import errors, logs
from aidb.errors import ErrorCode
from aidb.tracing.serving import SERVING
from aidb.v1 import common_pb2 as common
from aidb_coordinator import origin
from aidb_coordinator.store import StoreError

log = logging.getLogger("aidb.coordinator")

_STATUS = {
    ErrorCode.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorCode.BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.DISK_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.SHUTTING_DOWN: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.WRONG_CLUSTER: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.REGISTRATION_REFUSED: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.STALE_TERM: grpc.StatusCode.ABORTED,
    ErrorCode.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    ErrorCode.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
}

Servicer = TypeVar("Servicer")
Request = TypeVar("Request")
Response = TypeVar("Response")
Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[Servicer, Request, Context], Awaitable[Response]]


async def refuse(context: Context, error: errors.AidbError) -> NoReturn:
    retry_after_ms = int((error.retry_after or 0) * 1000)
    encoded = common.Error(
        code=common.ErrorCode.ValueType(int(error.code)),
        message=error.message,
        retryable=error.retryable,
        retry_after_ms=retry_after_ms,
    ).SerializeToString()
    status = _STATUS.get(ErrorCode(error.code), grpc.StatusCode.INTERNAL)
    await context.abort(status, error.message, ((errors.TRAILER, encoded),))
    raise AssertionError("abort raises")


def answers(handler: Handler[Servicer, Request, Response]) -> Handler[Servicer, Request, Response]:
    """A unary handler that acts for its caller, and whose exceptions become errors on the wire; defects are
    logged, and told without their details.
    """

    @functools.wraps(handler)
    async def answer(self: Servicer, request: Request, context: Context) -> Response:
        member = getattr(request, "name", "") or getattr(getattr(request, "member", None), "name", "")
        name = handler.__name__
        with logs.about(method=name, caller=member), SERVING.call(name, context.invocation_metadata()):
            return await told(self, request, context, member)

    async def told(self: Servicer, request: Request, context: Context, member: str) -> Response:
        try:
            with origin.acting_for(origin.of_request(handler.__name__, member, context.peer())):
                return await handler(self, request, context)
        except errors.AidbError as error:
            await refuse(context, error)
        except StoreError as error:
            log.error("topology not stored: %s", error)
            await refuse(context, errors.Internal(str(error), retryable=True, retry_after=1.0))
        except Exception as error:
            if isinstance(error, grpc.aio.AbortError):
                raise
            log.exception("defect in %s", handler.__name__)
            await refuse(context, errors.Internal("the coordinator failed to answer; its log says why"))

    return answer
