"""What a profile holds, and its texts: as in the file, and as given to ``aidb profile set``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from aidb.cli.parameters import Output
from aidb.errors import InvalidArgument
from aidb.sources import parse_addresses

_KEYSPACES = 1 << 32


class Unfit(ValueError):
    """Says which entry and what it has to be."""


@dataclass(frozen=True, slots=True)
class Profile:
    """None: not said, so that it comes from where it comes without a profile.

    Attributes:
        address: as of ``--address``.
        tls: a directory, as of ``--tls``.
        token_file: the file that holds the token, as of ``--token-file``. No token itself is kept here.
        domain: as of ``$AIDB_TLS_DOMAIN``.
        direct: as of ``--direct``.
        keyspace: that data commands work in; a number.
        output: as of ``-o``.
    """

    address: str | None = None
    tls: str | None = None
    token_file: str | None = None
    domain: str | None = None
    direct: bool | None = None
    keyspace: int | None = None
    output: str | None = None

    def __post_init__(self) -> None:
        """Raises Unfit."""
        for name in ("address", "tls", "token_file", "domain", "output"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise Unfit(f"{name} is text, not {value!r}")
            if value is not None and not value.isprintable():
                raise Unfit(f"{name} is text on one line, not {value!r}")
        if self.address is not None:
            try:
                parse_addresses(self.address)
            except InvalidArgument as error:
                raise Unfit(error.message) from error
        if self.direct is not None and not isinstance(self.direct, bool):
            raise Unfit(f"direct is true or false, not {self.direct!r}")
        space = self.keyspace
        if space is not None and (type(space) is not int or not 0 <= space < _KEYSPACES):
            raise Unfit(f"keyspace is a number from 0 to {_KEYSPACES - 1}, not {space!r}")
        if self.output is not None and self.output not in list(Output):
            raise Unfit(f"output is {', '.join(Output)}, not {self.output!r}")

    @classmethod
    def of(cls, entries: dict[str, Any]) -> Profile:
        """Raises Unfit."""
        known = [field.name for field in fields(cls)]
        if "token" in entries:
            raise Unfit("a token does not belong here: keep it in a file, and name that by token_file")
        if strangers := sorted(entries.keys() - set(known)):
            raise Unfit(f"there is no entry {strangers[0]!r}: there are {', '.join(known)}")
        return cls(**entries)

    def entries(self) -> dict[str, str | int | bool]:
        """Those that are said."""
        return {name: value for name, value in asdict(self).items() if value is not None}
