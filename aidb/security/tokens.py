"""The file of tokens: who may call, by the SHA-256 of what they show. Tokens are 32 random bytes, so that a
plain hash keeps them secret, and the file lets nobody in.

{"format": 1, "tokens": [{"name": "ci", "role": "read-only", "sha256": "<hex>", "expires_ms": 0}]}

Names are unique; times are ms since 1970, 0 = never.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aidb.v1 import access_pb2

FORMAT = 1
PREFIX = "aidb_"
ROLES: dict[str, access_pb2.Access.ValueType] = {
    "monitor": access_pb2.ACCESS_MONITOR,
    "read-only": access_pb2.ACCESS_READ,
    "read-write": access_pb2.ACCESS_WRITE,
    "admin": access_pb2.ACCESS_ADMIN,
}


class BadTokens(ValueError):
    """The file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of one."""

    name: str
    role: str
    sha256: str
    expires_ms: int = 0

    @property
    def access(self) -> access_pb2.Access.ValueType:
        return ROLES[self.role]

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.sha256)


def new_secret() -> str:
    """A token; the prefix lets scanners of repositories find a leaked one."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def parse(content: bytes) -> tuple[Token, ...]:
    """Raises BadTokens."""
    try:
        found: dict[str, Any] = json.loads(content)
        version = found["format"]
        if version != FORMAT:
            raise BadTokens(f"the tokens are of format {version}, this version knows {FORMAT}: upgrade aidb")
        tokens = tuple(Token(**token) for token in found["tokens"])
        for token in tokens:
            _check(token)
    except BadTokens:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadTokens("the file of tokens is damaged: it is not what aidb-admin tokens writes") from error
    if len({token.name for token in tokens}) < len(tokens):
        raise BadTokens("two tokens have one name")
    return tokens


def document(tokens: Iterable[Token]) -> bytes:
    """The file's content."""
    rows = [{"name": t.name, "role": t.role, "sha256": t.sha256, "expires_ms": t.expires_ms} for t in tokens]
    return (json.dumps({"format": FORMAT, "tokens": rows}, indent=1) + "\n").encode()


def find(tokens: Iterable[Token], secret: str) -> Token | None:
    """The token that ``secret`` is."""
    shown = digest(secret)
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, shown):
            found = token
    return found


def _check(token: Token) -> None:
    if token.role not in ROLES:
        raise BadTokens(
            f"token {token.name!r} has the role {token.role!r}, which is none of {', '.join(ROLES)}"
        )
    if len(token.digest) != 32 or not token.name or token.expires_ms < 0:
        raise ValueError(token.name)
