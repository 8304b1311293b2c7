"""The names in certificates. Members move between addresses, so a certificate speaks for a program."""

from __future__ import annotations

DEFAULT_DOMAIN = "aidb.internal"


def is_program(names: frozenset[str], domain: str) -> bool:
    """Whether a verified certificate with these DNS names is a program's."""
    return not names.isdisjoint((f"node.{domain}", f"coordinator.{domain}"))


def server_name(domain: str) -> str:
    """What every program's certificate carries: the name that clients check, whatever address they dial."""
    return f"server.{domain}"
