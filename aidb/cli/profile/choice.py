"""Which profile this command goes by, and what wins: what the command line says, then the environment, then
the profile, then the local cluster.

A profile that is named by ``--profile`` is said by the command line: its entries win over the environment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from aidb.cli.profile import config
from aidb.cli.profile.entries import Profile

_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
VARIABLES = {
    "address": "AIDB_ADDRESS",
    "tls": "AIDB_TLS",
    "token_file": "AIDB_TOKEN_FILE",
    "domain": "AIDB_TLS_DOMAIN",
    "direct": "AIDB_DIRECT",
    "keyspace": "AIDB_KEYSPACE",
    "output": "AIDB_OUTPUT",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """``name`` None: no profile. ``flags``: entries that options gave."""

    name: str | None = None
    named_by_option: bool = False
    profile: Profile = field(default_factory=Profile)
    flags: Profile = field(default_factory=Profile)

    def value(self, entry: str) -> tuple[Any, str]:
        """The entry, and who said so; None if nobody did. Raises Unfit."""
        given, own = getattr(self.flags, entry), getattr(self.profile, entry)
        if given is not None:
            return given, f"--{entry.replace('_', '-')}"
        by_profile = (own, f"profile {self.name}")
        if own is not None and self.named_by_option:
            return by_profile
        variable = VARIABLES[entry]
        if text := os.environ.get(variable):
            return getattr(Profile(**{entry: _read(entry, text)}), entry), f"${variable}"
        return by_profile if own is not None else (None, "")


def _read(entry: str, text: str) -> Any:
    if entry == "direct" and text.lower() in (*_YES, *_NO):
        return text.lower() in _YES
    if entry == "keyspace" and text.isdecimal():
        return int(text)
    return text


_asked: tuple[str | None, Profile] = (None, Profile())
_chosen: Choice | None = None


def choose(name: str | None = None, flags: Profile | None = None) -> None:
    """From now on, in this process. ``name`` None: ``$AIDB_PROFILE``, else the current one."""
    global _asked, _chosen
    _asked, _chosen = (name, flags or Profile()), None


def chosen() -> Choice:
    """Read when it is first needed: what asks no cluster needs no profile. Raises Failure."""
    global _chosen
    if _chosen is None:
        name, flags = _asked
        known = config.load()
        wanted = name or os.environ.get("AIDB_PROFILE") or known.current
        profile = known.named(wanted) if wanted else Profile()
        _chosen = Choice(wanted or None, name is not None, profile, flags)
    return _chosen
