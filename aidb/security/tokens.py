"""The file of tokens: who may call, by the SHA-256 of what they show. Tokens are 32 random bytes, so that a
plain hash keeps them secret, and the file lets nobody in.

{"format": 2, "tokens": [{"name": "ci", "role": "read-only", "sha256": "<hex>", "expires_ms": 0,
                          "keyspaces": [3], "prefixes": ["user:"]}]}

Names are unique; times are ms since 1970, 0 = never. `keyspaces` and `prefixes` limit what a token reaches
for; one that is not there limits nothing. A prefix that is no text is given as {"base64": "..."}. Format 1
has no limits: it is written as long as no token has any, so that programs of the version before can read it,
and a program that does not know limits refuses the file instead of ignoring them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aidb.v1 import access_pb2

FORMAT = 2
FORMAT_WITHOUT_LIMITS = 1
PREFIX = "aidb_"
ROLES: dict[str, access_pb2.Access.ValueType] = {
    "monitor": access_pb2.ACCESS_MONITOR,
    "read-only": access_pb2.ACCESS_READ,
    "read-write": access_pb2.ACCESS_WRITE,
    "admin": access_pb2.ACCESS_ADMIN,
}
# Those without data need no limits, and an administrator could make himself a token that has none.
LIMITED_ROLES = ("read-only", "read-write")
MOST_LIMITS = 256
MOST_PREFIX_BYTES = 1024


class BadTokens(ValueError):
    """The file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of one."""

    name: str
    role: str
    sha256: str
    expires_ms: int = 0
    keyspaces: tuple[int, ...] = ()
    prefixes: tuple[bytes, ...] = ()
    """Empty: all."""

    @property
    def limited(self) -> bool:
        return bool(self.keyspaces or self.prefixes)

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
        if version not in (FORMAT, FORMAT_WITHOUT_LIMITS):
            raise BadTokens(f"the tokens are of format {version}, this version knows {FORMAT}: upgrade aidb")
        tokens = tuple(_token(row) for row in found["tokens"])
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
    known = tuple(tokens)
    version = FORMAT if any(token.limited for token in known) else FORMAT_WITHOUT_LIMITS
    return (json.dumps({"format": version, "tokens": [*map(_row, known)]}, indent=1) + "\n").encode()


def find(tokens: Iterable[Token], secret: str) -> Token | None:
    """The token that ``secret`` is."""
    shown = digest(secret)
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, shown):
            found = token
    return found


def check_limits(token: Token) -> None:
    """Raises BadTokens."""
    if token.limited and token.role not in LIMITED_ROLES:
        raise BadTokens(
            f"token {token.name!r} has the role {token.role!r}, which cannot be limited to keyspaces or "
            f"prefixes: only {' and '.join(LIMITED_ROLES)} can"
        )
    if max(len(token.keyspaces), len(token.prefixes)) > MOST_LIMITS:
        raise BadTokens(f"token {token.name!r} has more than {MOST_LIMITS} keyspaces or prefixes")
    if not all(0 <= keyspace < 1 << 32 for keyspace in token.keyspaces):
        raise BadTokens(f"token {token.name!r} names a keyspace that is not from 0 to {(1 << 32) - 1}")
    if not all(0 < len(prefix) <= MOST_PREFIX_BYTES for prefix in token.prefixes):
        raise BadTokens(f"token {token.name!r} has a prefix that is not of 1 to {MOST_PREFIX_BYTES} bytes")


def shown_prefix(prefix: bytes) -> str | dict[str, str]:
    """As it is written into documents."""
    try:
        return prefix.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(prefix).decode()}


def described(token: Token) -> dict[str, Any]:
    """What the file says of it, without its hash."""
    row = _row(token)
    del row["sha256"]
    return row


def _row(token: Token) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": token.name,
        "role": token.role,
        "sha256": token.sha256,
        "expires_ms": token.expires_ms,
    }
    if token.keyspaces:
        row["keyspaces"] = list(token.keyspaces)
    if token.prefixes:
        row["prefixes"] = [shown_prefix(prefix) for prefix in token.prefixes]
    return row


def _token(row: dict[str, Any]) -> Token:
    limits = {name: row.pop(name) for name in ("keyspaces", "prefixes") if name in row}
    # An empty list could be meant as "none at all".
    if not all(isinstance(values, list) and values for values in limits.values()):
        raise ValueError(row["name"])
    keyspaces, prefixes = limits.get("keyspaces", ()), limits.get("prefixes", ())
    if not all(type(keyspace) is int for keyspace in keyspaces):
        raise ValueError(row["name"])
    return Token(**row, keyspaces=tuple(keyspaces), prefixes=tuple(map(_prefix, prefixes)))


def _prefix(shown: str | dict[str, str]) -> bytes:
    if isinstance(shown, str):
        return shown.encode()
    return base64.b64decode(shown["base64"], validate=True)


def _check(token: Token) -> None:
    check_limits(token)
    if token.role not in ROLES:
        raise BadTokens(
            f"token {token.name!r} has the role {token.role!r}, which is none of {', '.join(ROLES)}"
        )
    if len(token.digest) != 32 or not token.name or token.expires_ms < 0:
        raise ValueError(token.name)
