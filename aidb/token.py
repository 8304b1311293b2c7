"""Session tokens (C5): what a session has seen, as one position per shard.

Applications see opaque bytes. A token goes with every request, and what answers bring is merged into it, so
that a session reads its own writes and never goes back, at whatever member it reads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping

from google.protobuf.message import DecodeError

from aidb.errors import TokenInvalid
from aidb.v1 import common_pb2

FORMAT = 1

# (epoch, lsn); tuples compare as C5 asks: a later epoch is ahead whatever its LSN.
Position = tuple[int, int]


def encode(positions: Mapping[int, Position], topology_version: int) -> bytes:
    """The token of these positions."""
    return common_pb2.SessionToken(
        format=FORMAT,
        topology_version=topology_version,
        positions=[
            common_pb2.ShardPosition(shard=shard, epoch=epoch, lsn=lsn)
            for shard, (epoch, lsn) in sorted(positions.items())
        ],
    ).SerializeToString()


def decode(token: bytes) -> tuple[dict[int, Position], int]:
    """Positions by shard, and the topology version.

    Raises:
        TokenInvalid: damaged, or of a newer format.
    """
    try:
        message = common_pb2.SessionToken.FromString(token)
    except DecodeError as error:
        raise TokenInvalid(
            "these bytes are no session token; use what a client's session_token gave"
        ) from error
    if token and message.format != FORMAT:
        raise TokenInvalid(
            f"the session token has format {message.format}, this client knows {FORMAT}: upgrade it"
        )
    positions: dict[int, Position] = {}
    for entry in message.positions:
        position = (entry.epoch, entry.lsn)
        positions[entry.shard] = max(position, positions.get(entry.shard, position))
    return positions, message.topology_version


class SessionToken:
    """The token of a live session. Thread-safe.

    Requests carry only the entry of the shard they go to: the others mean nothing there, and the token would
    grow with the cluster.
    """

    def __init__(self, token: bytes = b"") -> None:
        self._lock = threading.Lock()
        self._positions, self._topology_version = decode(token)

    @property
    def topology_version(self) -> int:
        """The newest topology that an answer was given by."""
        return self._topology_version

    def merge(self, token: bytes) -> None:
        """Raise each shard's entry to what ``token`` says."""
        if not token:
            return
        positions, version = decode(token)
        with self._lock:
            self._topology_version = max(self._topology_version, version)
            for shard, position in positions.items():
                if position > self._positions.get(shard, (0, 0)):
                    self._positions[shard] = position

    def epoch(self, shard: int) -> int:
        """Of what was seen of it; 0: nothing."""
        return self._positions.get(shard, (0, 0))[0]

    def forget(self, shard: int) -> None:
        """Drop a shard's entry: its loss was reported (`SessionBroken`), so it must not be reported again."""
        with self._lock:
            self._positions.pop(shard, None)

    def for_shard(self, shard: int, others: Collection[int] = ()) -> bytes:
        """What a request to ``shard`` carries; with the entries of ``others``."""
        known = self._positions
        carried = {one: known[one] for one in (shard, *others) if one in known}
        return encode(carried, self._topology_version)

    def lost(self, has_lost: Callable[[int, int, int], bool]) -> frozenset[int]:
        """The shards of which it saw what is gone: ``has_lost`` of (shard, epoch, LSN)."""
        with self._lock:
            positions = list(self._positions.items())
        return frozenset(shard for shard, (epoch, lsn) in positions if has_lost(shard, epoch, lsn))

    def encode(self) -> bytes:
        """The whole token, to go on with in another client."""
        with self._lock:
            return encode(self._positions, self._topology_version)
