"""The administrator's token, which the operator itself shows, and the file of hashes that knows it.

Other tokens in that file are people's (`aidb-admin tokens create`): they stay.
"""

from __future__ import annotations

from aidb.security import tokens

ADMINISTRATOR = "aidb-operator"
FILE = "tokens.json"


def with_administrator(content: bytes, secret: str) -> bytes | None:
    """The file with that token in it; None: it is there already. Raises BadTokens."""
    known = tokens.parse(content) if content else ()
    wanted = tokens.Token(ADMINISTRATOR, "admin", tokens.digest(secret).hex())
    if wanted in known:
        return None
    return tokens.document([*(token for token in known if token.name != ADMINISTRATOR), wanted])
