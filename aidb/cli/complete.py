"""What the shell is offered for values that only this machine or the cluster knows.

Whoever presses Tab waits, and what goes wrong is not said: an answer comes within a second, or there is none.
"""

from __future__ import annotations

import typer

_SECONDS = 1.0


def profiles() -> list[str]:
    """Names of profiles."""
    from aidb.cli.exits import Failure
    from aidb.cli.profile.config import load

    try:
        return sorted(load().profiles)
    except Failure:
        return []


def shards(context: typer.Context) -> list[tuple[str, str]]:
    """Numbers of the cluster's shards, and how they are."""
    from aidb.cli.connection import find_address
    from aidb.cli.exits import Failure
    from aidb.cli.profile.choice import choose
    from aidb.cli.status import document, fetch
    from aidb.errors import AidbError

    try:
        choose(context.find_root().params.get("profile"))
        found = document(fetch(find_address(context.params.get("address")), _SECONDS))["shards"]
    except (Failure, AidbError, OSError):
        return []
    return [(str(shard["id"]), shard["state"]) for shard in found]
