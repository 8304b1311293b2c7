"""On whose behalf something is done: known where a request comes in, wanted where the topology changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

COORDINATOR = "coordinator"
# Longer ones are cut: they are kept with every change.
MAX_ORIGIN = 120

_caller: ContextVar[str] = ContextVar("caller", default="")
_origin: ContextVar[str] = ContextVar("origin", default=COORDINATOR)


def current() -> str:
    """Nobody else: the coordinator itself."""
    return _origin.get()


@contextmanager
def acting_for(who: str) -> Iterator[None]:
    """What is done within is done for `who`, also by tasks that are begun there."""
    token = _origin.set(who[:MAX_ORIGIN])
    try:
        yield
    finally:
        _origin.reset(token)


def called_by(name: str) -> None:
    """Whose token the request that is being answered came with."""
    _caller.set(name)


def caller(peer: str) -> str:
    """Who asks for what is being answered; ``peer`` as gRPC writes it, where nobody has a name."""
    return _caller.get() or peer.partition(":")[2] or "somebody"


def of_request(method: str, member: str, peer: str) -> str:
    """`member`: the program that speaks for itself; `peer` as gRPC writes it."""
    who = member or caller(peer)
    return f"{who} ({method})"
