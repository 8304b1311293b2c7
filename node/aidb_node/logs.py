"""A record and its fields in one call; `aidb.logs` writes it."""

from __future__ import annotations

import logging

from aidb.logs import fields


class Log:
    """Of this program: `log.info("registered", epoch=3)`."""

    def __init__(self) -> None:
        self._log = logging.getLogger("aidb.node")

    def info(self, message: str, **said: object) -> None:
        self._log.info("%s", message, extra=fields(**said))

    def warning(self, message: str, **said: object) -> None:
        self._log.warning("%s", message, extra=fields(**said))

    def error(self, message: str, **said: object) -> None:
        self._log.error("%s", message, extra=fields(**said))
