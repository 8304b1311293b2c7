"""Messages that no client of ours sends, for every method of every service."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from aidb.v1 import cluster_pb2, common_pb2, moving_pb2, node_pb2, replication_pb2, storage_pb2

FILES = (storage_pb2, cluster_pb2, node_pb2, replication_pb2, moving_pb2)
# Orders that are obeyed: one ends the node, the other its shard, until people take it back.
OBEYED = ("/aidb.v1.Node/Drain", "/aidb.v1.Coordination/FenceShard")
NODES = ("primary", "replica", "router")
SERVED = {
    "aidb.v1.Storage": NODES,
    "aidb.v1.Node": NODES,
    "aidb.v1.Discovery": (*NODES, "coordinator"),
    "aidb.v1.Coordination": ("coordinator",),
    "aidb.v1.Replication": ("primary",),
    "aidb.v1.Moving": ("primary",),
    "aidb.v1.Tail": ("replica",),
}
U32, U64 = (1 << 32) - 1, (1 << 64) - 1
_INTEGERS = {
    FieldDescriptor.TYPE_UINT32: (0, 1, 16_384, 65_536, U32),
    FieldDescriptor.TYPE_UINT64: (0, 1, 1 << 62, 1 << 63, U64),
    FieldDescriptor.TYPE_FIXED64: (0, 1, U64),
    FieldDescriptor.TYPE_ENUM: (-(1 << 31), -1, 0, 1, 2, 999, (1 << 31) - 1),
    FieldDescriptor.TYPE_BOOL: (False, True),
}


@dataclass(frozen=True, slots=True)
class Method:
    """Of a service."""

    path: str
    request: Descriptor
    streams: bool
    answers: bool

    @property
    def service(self) -> str:
        return self.path.split("/")[1]


def methods() -> list[Method]:
    """All that are called."""
    found = [
        Method(
            f"/{service.full_name}/{method.name}",
            method.input_type,
            method.client_streaming,
            method.server_streaming,
        )
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    return [method for method in found if method.path not in OBEYED]


def hostile(request: Descriptor, rng: random.Random, count: int) -> Iterator[bytes]:
    """``count`` of each kind: noise, fields at their extremes, and those with a few bytes changed."""
    for _ in range(count):
        yield rng.randbytes(rng.randrange(200))
        extreme = _extreme(request, rng).SerializeToString()
        yield extreme
        damaged = bytearray(extreme)
        for _ in range(min(len(damaged), 3)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        yield bytes(damaged)


def crafted() -> list[tuple[str, Message]]:
    """What an attacker would think of first."""
    header = common_pb2.RequestHeader
    storage = "/aidb.v1.Storage/"
    forever = header(deadline_unix_ms=U64, first_sent_unix_ms=U64, attempt=U32, staleness_bound_ms=U32)
    id = common_pb2.RequestId(client=U64, seq=U64)
    every = [storage_pb2.SlotRange(first=slot, last=slot) for slot in range(16_384)]
    odd = [storage_pb2.SlotRange(first=U32, last=0), storage_pb2.SlotRange(first=0, last=U32)] * 5_000
    return [
        (storage + "Get", storage_pb2.GetRequest(header=forever, key=b"k")),
        (
            storage + "Get",
            storage_pb2.GetRequest(
                header=header(deadline_unix_ms=U64, consistency=common_pb2.CONSISTENCY_STRONG), key=b"k"
            ),
        ),
        (storage + "Get", storage_pb2.GetRequest(header=header(topology_version=U64), key=b"k")),
        (storage + "Get", storage_pb2.GetRequest(header=header(token=b"\xff" * 100_000), key=b"k")),
        (
            storage + "Get",
            storage_pb2.GetRequest(header=header(keyspace=U32, traceparent="x" * 9999), key=b"k"),
        ),
        (storage + "Put", storage_pb2.PutRequest(header=forever, key=b"k", value=b"v", ttl_ms=U64)),
        (storage + "Put", storage_pb2.PutRequest(header=header(request_id=id), key=b"h", value=b"v")),
        (
            storage + "Put",
            storage_pb2.PutRequest(header=header(request_id=id, attempt=1), key=b"h", value=b"v"),
        ),
        (storage + "Put", storage_pb2.PutRequest(key=b"k" * 100_000, value=b"v")),
        (storage + "Delete", storage_pb2.DeleteRequest(header=forever, key=b"none")),
        (
            storage + "BatchPut",
            storage_pb2.BatchPutRequest(
                header=header(request_id=id, deadline_unix_ms=U64),
                ops=[storage_pb2.WriteOp(key=b"h%d" % number, request_seq=U64) for number in range(3)],
            ),
        ),
        (storage + "BatchPut", storage_pb2.BatchPutRequest(atomic=True)),
        (storage + "BatchGet", storage_pb2.BatchGetRequest(keys=[b""] * 300_000)),
        (storage + "BatchPut", storage_pb2.BatchPutRequest(ops=[storage_pb2.WriteOp()] * 300_000)),
        (storage + "Scan", storage_pb2.ScanRequest(slots=every, limit=U64, chunk_bytes=U32)),
        (storage + "Scan", storage_pb2.ScanRequest(slots=every, start=b"a", reverse=True, limit=1)),
        (storage + "Scan", storage_pb2.ScanRequest(slots=odd, limit=1)),
        (
            storage + "Scan",
            storage_pb2.ScanRequest(
                header=forever, resume_after=storage_pb2.ScanCursor(slot=U32, key=b"\xff")
            ),
        ),
        (storage + "Scan", storage_pb2.ScanRequest(prefix=b"{" * 9000, limit=1)),
        ("/aidb.v1.Node/HotKeys", node_pb2.HotKeysRequest(count=U32)),
        ("/aidb.v1.Node/Checkpoint", node_pb2.CheckpointRequest(name="../../etc")),
        (
            "/aidb.v1.Coordination/ListEvents",
            cluster_pb2.ListEventsRequest(after=U64, limit=U32),
        ),
        (
            "/aidb.v1.Coordination/Heartbeat",
            cluster_pb2.HeartbeatRequest(
                name="primary-0", process_id="x", term=U64, wall_clock_ms=U64, topology_version=U64
            ),
        ),
        (
            "/aidb.v1.Coordination/Register",
            cluster_pb2.RegisterRequest(process_id="x", shard=U32, disk_epoch=U64, pending_epoch=0),
        ),
    ]


def _extreme(descriptor: Descriptor, rng: random.Random) -> Message:
    filled: Any = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if rng.random() < 0.4:
            continue
        if field.is_repeated:
            repeated = getattr(filled, field.name)
            count = rng.choice((1, 3, 100))
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
                repeated.update({_value(key, rng): _value(value, rng) for _ in range(count)})
            else:
                repeated.extend([_value(field, rng) for _ in range(count)])
        elif field.message_type is not None:
            getattr(filled, field.name).CopyFrom(_value(field, rng))
        else:
            setattr(filled, field.name, _value(field, rng))
    return filled  # type: ignore[no-any-return]


def _value(field: FieldDescriptor, rng: random.Random) -> Any:
    if field.message_type is not None:
        return _extreme(field.message_type, rng)
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice(("", "\0", "../..", "x" * 5000, "\U0001f600" * 99, "127.0.0.1:1"))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.choice((b"", b"\xff" * 9000, rng.randbytes(rng.randrange(100)), b"{}"))
    return rng.choice(_INTEGERS[field.type])
