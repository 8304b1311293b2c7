"""Puts the parts of a primary's mover together."""

from __future__ import annotations

import threading

from aidb_node.config import Settings
from aidb_node.dialing import channel_to
from aidb_node.failure import StartRefused
from aidb_node.logs import Log
from aidb_node.moves.calls import Coordinator, RemoteSource
from aidb_node.moves.document import Attempt
from aidb_node.moves.horizon import FILE, Horizon
from aidb_node.moves.mover import Mover, Primary
from aidb_node.moves.pacing import Pace


def mover_of(settings: Settings, primary: Primary, process_id: str, log: Log) -> Mover:
    """Not begun yet. Raises StartRefused."""
    try:
        horizon = Horizon(settings.data)
    except (OSError, ValueError) as error:
        raise StartRefused(
            f"{settings.data / FILE} cannot be used: {error}; restore it from a copy"
        ) from error

    def source(address: str, attempt: Attempt, over: threading.Event) -> RemoteSource:
        return RemoteSource(channel_to(settings, address), address, attempt, over)

    channel = channel_to(settings, settings.coordinator)
    coordinator = Coordinator(channel, settings.coordinator, settings.name, process_id)
    return Mover(primary, settings.shard, coordinator, source, Pace(settings.move_rate), horizon, log)
