"""Whether a call is allowed: the option `access` of its method in the contracts against who calls."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import cache
from typing import TypeAlias

from aidb.errors import PermissionDenied, Unauthenticated
from aidb.security.tokens import ROLES, Token, find
from aidb.v1 import access_pb2, cluster_pb2, moving_pb2, node_pb2, replication_pb2, storage_pb2

CONTRACTS = (cluster_pb2, moving_pb2, node_pb2, replication_pb2, storage_pb2)
Level: TypeAlias = access_pb2.Access.ValueType

NO_TOKEN = "no token was given: send `authorization: Bearer TOKEN` (AIDB_TOKEN_FILE, --token-file)"  # noqa: S105


@cache
def table() -> dict[str, Level]:
    """The level of every method of the contracts by path; ACCESS_UNSPECIFIED where none is named."""
    return {
        f"/{service.full_name}/{method.name}": method.GetOptions().Extensions[access_pb2.access]
        for contract in CONTRACTS
        for service in contract.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


def required(path: str) -> Level | None:
    """What a caller of ``path`` has to be allowed; None: whoever could connect may."""
    if path.startswith("/grpc.health.v1.Health/"):
        return None
    if path.startswith("/grpc.reflection."):
        return access_pb2.ACCESS_MONITOR
    return table().get(path) or access_pb2.ACCESS_ADMIN


def judge(
    path: str, level: Level | None, *, program: bool, authorization: str, tokens: Iterable[Token]
) -> str:
    """Returns when a program, or the bearer of ``authorization``, may do what needs ``level``: the token's
    name, or nothing where none was needed.

    Raises:
        Unauthenticated: a client shows no token that counts.
        PermissionDenied: its role does not contain that level; ``details`` has the token's name.
    """
    if level is None or program:
        return ""
    token = _of_token(authorization, tokens)
    held = token.access
    if held >= level:
        return token.name
    path = path.lstrip("/")
    who = {"token": token.name}
    if level == access_pb2.ACCESS_PROGRAM:
        raise PermissionDenied(
            f"{path} is for programs of the cluster: it needs a certificate of one, no token opens it",
            details=who,
        )
    raise PermissionDenied(
        f"{path} needs a token for {role_name(level)}, and this one is for {role_name(held)}: "
        "ask an administrator for another (aidb-admin tokens create)",
        details=who,
    )


def role_name(level: Level) -> str:
    return next(role for role, access in ROLES.items() if access == level)


def _of_token(authorization: str, tokens: Iterable[Token]) -> Token:
    if not authorization:
        raise Unauthenticated(NO_TOKEN)
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("the authorization header is not `Bearer TOKEN`")
    token = find(tokens, secret)
    if token is None:
        raise Unauthenticated("this token is not known here: it was revoked, or is of another cluster")
    if token.expires_ms and token.expires_ms <= time.time() * 1000:
        raise Unauthenticated(
            "this token has expired: ask an administrator for another (aidb-admin tokens create)"
        )
    return token
