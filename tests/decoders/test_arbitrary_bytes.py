"""Whatever bytes a decoder gets, it answers with a value or with the error that its users are told of.

Bytes are arbitrary, or a valid document that was cut, flipped or filled with other JSON. The decoders in
Rust have fuzz targets (node/fuzz).
"""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from aidb_coordinator import changes, codec, events
from aidb_coordinator.rebalance import PlannedMove
from aidb_coordinator.scaling import journal
from aidb_coordinator.scaling.operation import Kind, Operation, Phase, State
from aidb_coordinator.store import StoreError, content
from aidb_coordinator.topology import Shard, SlotSpan, Topology, TopologyError
from aidb_node import identity
from aidb_node.failure import StartRefused
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aidb import token, topology_file
from aidb.cli.checkpoint import Checkpoint
from aidb.cli.checkpoint import Identity as ImportIdentity
from aidb.cli.exits import Failure
from aidb.errors import TokenInvalid
from aidb.formats import BEGINNING, FORMATS, BadFile, NotExpressible, Record, Rejected, open_format
from aidb.local import description, replicas, state
from aidb.local.layout import Layout
from aidb.local.refusal import Refused
from aidb.v1 import cluster_pb2
from tests.coordinator.values import topology

DEEP = b"[" * 100_000
HUGE = b'{"format": 1e999, "shard": 1e999, "pid": 1e999, "pending_epoch": 1e999}'

# The names that decoders look for, so that what is drawn gets past the first check.
NAMES = st.sampled_from(
    "key key_base64 value value_base64 expires_at_ms format magic revision sha256 topology disk_id shard "  # noqa: SIM905
    "cluster_uid pending_epoch pid children position counts of severity version shards ports".split()
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, 2**63, 2**64, -1])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=8)
    ),
    max_leaves=12,
)


def damaged(*valid: bytes) -> st.SearchStrategy[bytes]:
    """Arbitrary bytes; arbitrary JSON; one of the documents, cut or with bytes replaced."""

    def change(document: bytes, cut: int, places: list[tuple[int, int]]) -> bytes:
        changed = bytearray(document[: cut % (len(document) + 1)] if cut % 3 == 0 else document)
        for place, byte in places:
            if changed:
                changed[place % len(changed)] = byte
        return bytes(changed)

    places = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=3)
    changed = st.builds(change, st.sampled_from(valid), st.integers(0, 2**16), places)
    return st.binary(max_size=200) | ANY_JSON.map(lambda value: json.dumps(value).encode()) | changed


TOKEN = token.encode({1: (2, 3), 7: (1, 2**40)}, 9)


@given(damaged(TOKEN))
def test_tokens(data: bytes) -> None:
    try:
        positions, version = token.decode(data)
    except TokenInvalid:
        return
    assert token.decode(token.encode(positions, version)) == (positions, version)


JSON_LINES = (
    b'{"key": "k", "value": "v", "expires_at_ms": 5}\n{"key_base64": "/w==", "value": [1, {"a": 2}]}\n'
)
ROWS = b'key,value,encoding,expires_at_ms\r\nk,v,utf-8,5\r\n"a""b","x\r\ny",,\r\n/w==,/w==,base64,\r\n'
STANZAS = b"Package: a\nVersion: 1\n more\n\nPackage: b\nVersion: 2\n"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("field", [None, "key", "Version"])
@given(data=damaged(JSON_LINES, STANZAS, ROWS))
@example(data=DEEP)
@example(data=b'{"key": "k", "value": ' + b"[" * 900 + b"]" * 900 + b"}")
def test_files_of_records(name: Any, field: str | None, data: bytes) -> None:
    with contextlib.suppress(BadFile):
        read_and_write(name, field, data)


def read_and_write(name: Any, field: str | None, data: bytes) -> None:
    """Raises BadFile."""
    chosen = open_format(name, field)
    at = BEGINNING
    for found in chosen.read(io.BytesIO(data), BEGINNING):
        assert isinstance(found, Record | Rejected)
        assert at < found.end
        at = found.end
        if isinstance(found, Record):
            assert found.key
            try:
                # Of a table the first row alone comes with the header.
                written = open_format(name, field).encode(found.key, found.value, found.expires_at_ms)
            except NotExpressible:
                continue
            again = list(chosen.read(io.BytesIO(written), BEGINNING))
            assert [(record.key, record.value) for record in again if isinstance(record, Record)] == [
                (found.key, found.value)
            ]
    assert at.offset <= len(data)


TOPOLOGY = topology()


def is_sound(found: Topology) -> None:
    assert codec.from_json(codec.to_json(found)) == found


@given(damaged(codec.to_proto(TOPOLOGY).SerializeToString()))
def test_topologies_on_the_wire(data: bytes) -> None:
    with contextlib.suppress(DecodeError, TopologyError):
        is_sound(codec.from_proto(cluster_pb2.Topology.FromString(data)))


FILE = content.encode(TOPOLOGY, 3)
BODY = codec.to_json(TOPOLOGY)


def is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(StoreError):
        is_sound(content.decode("topology.json", data, "")[0])


COMPACT_FILE = content.encode(
    replace(TOPOLOGY, shards=tuple(Shard(shard, disk_id="d" * 40_000) for shard in range(3))), 3
)


@given(damaged(FILE, COMPACT_FILE))
@example(DEEP)
@example(HUGE)
def test_topologies_in_a_file(data: bytes) -> None:
    is_read_or_refused(data)


@given(ANY_JSON, st.sampled_from(sorted(BODY)))
def test_topologies_in_a_file_with_a_sound_checksum(value: Any, name: str) -> None:
    for body in (value, {**BODY, name: value}):
        head = json.loads(FILE)
        try:
            canonical = topology_file.canonical(body)
        except ValueError:
            continue
        head |= {"topology": body, "sha256": topology_file.checksum(head["revision"], canonical)}
        is_read_or_refused(json.dumps(head).encode())


IDENTITY = b'{"format": 1, "disk_id": "d", "shard": 2, "cluster_uid": "u", "pending_epoch": 4}'


@given(damaged(IDENTITY))
@example(DEEP)
@example(HUGE)
def test_identities_of_nodes(data: bytes) -> None:
    with contextlib.suppress(StartRefused):
        assert isinstance(identity.parse(data, Path("data")), identity.Identity)


PLAN = (PlannedMove((SlotSpan(0, 9),), 0, 1),)
OPERATION = Operation("o", Kind.ADD_SHARD, (1,), State.RUNNING, Phase.MOVING, 5, 6, plan=PLAN)


@given(damaged(journal.encode([OPERATION])))
@example(DEEP)
@example(HUGE)
def test_journals_of_operations(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    directory = tmp_path_factory.mktemp("journal")
    (directory / journal.FILE).write_bytes(data)
    with contextlib.suppress(StoreError):
        assert all(isinstance(one, Operation) for one in journal.FileJournal(directory).load())


IMPORT = ImportIdentity(address="a", format="jsonl", key=None, size=3, modified=4)
CHECKPOINT = json.dumps({"of": asdict(IMPORT), "position": [1, 2], "counts": {"records": 1}}).encode()
STATE = b'{"pid": 5, "children": {}}'
REPLICAS = b'{"format": 1, "replicas": {"0": [0, 1], "3": []}}'
CHANGE = b'{"version": 1, "unix_ms": 2, "term": 3, "by": "b", "what": ["w"]}'


@settings(max_examples=50)
@given(data=damaged(CHECKPOINT, STATE, IDENTITY, REPLICAS, CHANGE))
@example(data=DEEP)
@example(data=HUGE)
def test_small_files_of_local_programs(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    directory = tmp_path_factory.mktemp("files")
    path = directory / "file"
    path.write_bytes(data)
    with contextlib.suppress(ValueError):
        assert all(isinstance(shard, int) for shard in replicas.read(path))
    found = state.read(path)
    assert found is None or isinstance(found.pid, int)
    assert all(isinstance(event, events.Event) for event in events.EventLog(path, int).after(0, 99))
    assert all(isinstance(one, changes.Change) for one in changes.ChangeLog(path, int).after(0, 99))
    checkpoint = Checkpoint(directory / "source", IMPORT)
    checkpoint.path.write_bytes(data)
    with contextlib.suppress(Failure):
        checkpoint.load()
    layout = Layout.at(directory)
    layout.description.write_bytes(data)
    with contextlib.suppress(Refused):
        description.load(layout)
