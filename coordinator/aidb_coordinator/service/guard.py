"""Before every call of a secured coordinator: who calls, and whether the contracts let it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from aidb.errors import SecurityError
from aidb.security.access import judge, required
from aidb.security.names import is_program
from aidb.security.server import ServerSecurity
from aidb_coordinator import origin
from aidb_coordinator.service.answers import Context, refuse

_ALTERNATIVE_NAMES = "x509_subject_alternative_name"


class Guard(grpc.aio.ServerInterceptor):
    """Wraps each handler: only there is the peer's certificate known."""

    def __init__(self, security: ServerSecurity) -> None:
        self._security = security

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        path = handler_call_details.method
        level = required(path)
        if handler is None or level is None:
            return handler
        shown = dict(handler_call_details.invocation_metadata or ()).get("authorization", "")

        async def checked(context: Context) -> None:
            names = frozenset(name.decode() for name in context.auth_context().get(_ALTERNATIVE_NAMES, ()))
            program = is_program(names, self._security.domain)
            try:
                tokens = self._security.tokens
                who = judge(path, level, program=program, authorization=str(shown), tokens=tokens)
                origin.called_by("a program, by its certificate" if program else who)
            except SecurityError as error:
                origin.called_by(str(error.details.get("token", "")))
                await refuse(context, error)

        return _guarded(handler, checked)


def _guarded(handler: Any, checked: Callable[[Context], Awaitable[None]]) -> grpc.RpcMethodHandler[Any, Any]:
    kind = ("stream_" if handler.request_streaming else "unary_") + (
        "stream" if handler.response_streaming else "unary"
    )
    behaviour = getattr(handler, kind)
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    guarded: Any
    if inspect.isasyncgenfunction(behaviour):

        async def guarded(request: Any, context: Context) -> Any:
            await checked(context)
            async for answer in behaviour(request, context):
                yield answer
    else:

        async def guarded(request: Any, context: Context) -> Any:
            await checked(context)
            return await behaviour(request, context)

    made: grpc.RpcMethodHandler[Any, Any] = make(
        guarded, handler.request_deserializer, handler.response_serializer
    )
    return made


def credentials(security: ServerSecurity) -> grpc.ServerCredentials:
    """For a port that demands certificates; each new connection takes the newest files."""

    in_use = security.material

    def configuration() -> grpc.ServerCertificateConfiguration:
        pairs = [(in_use.key, in_use.certificate)]
        return grpc.ssl_server_certificate_configuration(pairs, root_certificates=in_use.ca)

    def newest() -> Any:
        """Asked at each connection; None: what is in use stays."""
        nonlocal in_use
        if in_use is security.material:
            return None
        in_use = security.material
        return configuration()

    return grpc.dynamic_ssl_server_credentials(configuration(), newest, require_client_authentication=True)
