"""Keys as a shard stores them: slot (2 bytes, big endian), keyspace (varint), the user's key."""

from __future__ import annotations

from aidb.slots import slot_of

_MAX_VARINT = 5


def physical_key(keyspace: int, key: bytes) -> bytes:
    """What ``key`` is called in its shard's store."""
    found = bytearray(slot_of(key).to_bytes(2, "big"))
    while keyspace >= 0x80:
        found.append(keyspace & 0x7F | 0x80)
        keyspace >>= 7
    found.append(keyspace)
    return bytes(found) + key


def split(physical: bytes) -> tuple[int, int, bytes]:
    """Slot, keyspace and key. Raises ValueError when it is no key of a shard."""
    keyspace = 0
    for index, byte in enumerate(physical[2 : 2 + _MAX_VARINT]):
        keyspace |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return int.from_bytes(physical[:2], "big"), keyspace, physical[3 + index :]
    raise ValueError(f"{physical[:40]!r} is no key of a shard: it has no slot and keyspace")
