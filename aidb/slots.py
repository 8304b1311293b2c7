"""Slots: where a key lives. Redis Cluster's function, with its hash tags and test vectors."""

from __future__ import annotations

import binascii

SLOT_COUNT = 16384


def hash_tag(key: bytes) -> bytes:
    """What decides the slot of ``key``: the part between the first ``{`` and the next ``}`` if not empty."""
    opened = key.find(b"{")
    if opened >= 0:
        closed = key.find(b"}", opened + 1)
        if closed > opened + 1:
            return key[opened + 1 : closed]
    return key


def slot_of(key: bytes) -> int:
    """The slot of ``key``: CRC16/XMODEM of its hash tag, modulo 16384."""
    return binascii.crc_hqx(hash_tag(key), 0) % SLOT_COUNT


def slot_of_prefix(prefix: bytes) -> int | None:
    """The one slot that holds every key with ``prefix``, or None when such keys are spread over slots."""
    tag = hash_tag(prefix)
    return None if tag is prefix else binascii.crc_hqx(tag, 0) % SLOT_COUNT
