"""Objects of the store: what was encoded is decoded, and no bytes whatsoever are taken for an object they
are not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aidb.durability import piece as pieces
from aidb.durability.claim import Claim
from aidb.durability.envelope import Kind, Malformed, seal, unseal
from aidb.durability.hold import Hold, Purpose
from aidb.durability.identity import Place, check_place
from aidb.durability.manifest import File, Manifest, parse_label
from aidb.durability.names import LARGEST, Names, last_number
from aidb.durability.piece import Piece, Seal, Start
from aidb.durability.placement import Placement
from aidb.v1 import cluster_pb2 as pb

u64 = st.integers(0, (1 << 64) - 1)
texts = st.text(max_size=40)
places = st.builds(Place, texts, st.integers(0, 65534), u64, u64)
sums = st.binary(max_size=8).map(lambda data: hashlib.sha256(data).hexdigest())
file_names = st.integers(0, 10**6).map(lambda number: f"sst/{number:016}.sst")
claims = st.builds(Claim, places, texts, texts, u64, u64)
seals = st.builds(Seal, places, texts, u64, u64)
holds = st.builds(Hold, places, st.sampled_from(Purpose), texts, u64)
manifests = st.builds(
    Manifest,
    places,
    texts,
    texts,
    u64,
    u64,
    u64,
    u64,
    st.none() | st.tuples(u64, u64),
    st.lists(st.builds(File, file_names, u64, sums), max_size=5, unique_by=lambda file: file.name).map(tuple),
    st.binary(max_size=100),
)


@st.composite
def some_pieces(draw: st.DrawFn) -> Piece:
    first, last = sorted(draw(st.tuples(u64, u64)))
    records = draw(st.integers(1, 1 << 40)) if last > first else 0
    start = draw(st.none() | st.builds(Start, u64, u64))
    return Piece(
        draw(places), draw(texts), first, last, draw(u64), draw(u64), records, draw(st.booleans()), start,
        draw(st.binary(max_size=100)),
    )  # fmt: skip


topologies = st.builds(
    pb.Topology, cluster_uid=texts, version=u64, term=u64, slot_owners=st.binary(max_size=9)
)
placements = st.builds(Placement, u64, topologies)
objects: Any = st.one_of(claims, seals, holds, manifests, placements, some_pieces())
DECODERS: list[Callable[[bytes], Any]] = [
    Claim.decode,
    Hold.decode,
    Manifest.decode,
    Placement.decode,
    pieces.decode,
]


def decoder_of(thing: object) -> Callable[[bytes], Any]:
    if isinstance(thing, Piece | Seal):
        return pieces.decode
    return type(thing).decode  # type: ignore[attr-defined, no-any-return]


@given(objects)
def test_decodes_what_was_encoded(thing: Any) -> None:
    assert decoder_of(thing)(thing.encode()) == thing


@given(objects)
def test_no_kind_is_taken_for_another(thing: Any) -> None:
    for decode in DECODERS:
        if decode != decoder_of(thing):
            with pytest.raises(Malformed, match="not a"):
                decode(thing.encode())


@given(objects, st.data())
def test_a_flipped_bit_or_a_cut_is_noticed(thing: Any, data: st.DataObject) -> None:
    encoded = bytearray(thing.encode())
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    with pytest.raises(Malformed):
        decoder_of(thing)(bytes(encoded[: bit // 8]))
    encoded[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Malformed):
        decoder_of(thing)(bytes(encoded))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_malformed(data: bytes) -> None:
    for decode in DECODERS:
        with pytest.raises(Malformed):
            decode(data)


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(objects, st.data())
def test_a_sealed_header_of_anything_is_malformed_or_decoded(thing: Any, data: st.DataObject) -> None:
    """Even with a right checksum, as a program with a defect would write it."""
    kind, header, body = unseal(thing.encode(), *Kind)
    name = data.draw(st.sampled_from(sorted(header)))
    header[name] = data.draw(json_values)
    for decode in DECODERS:
        try:
            decode(seal(kind, header, bytes(body)))
        except Malformed as error:
            assert str(error)


def test_a_newer_format_says_what_to_do() -> None:
    encoded = bytearray(Claim(Place("c", 0, 1), "id", "owner", 0, 0).encode())
    encoded[5] = 9
    encoded[-32:] = hashlib.sha256(encoded[:-32]).digest()
    with pytest.raises(Malformed, match=r"format 9.*use a newer one"):
        Claim.decode(bytes(encoded))


def test_an_object_in_the_wrong_place_is_noticed() -> None:
    place = Place("c", 1, 2, 3)
    check_place(place, place)
    for other in (
        replace(place, cluster_uid="d"),
        replace(place, shard=0),
        replace(place, epoch=1),
        replace(place, sequence=0),
    ):
        with pytest.raises(Malformed, match="belongs to"):
            check_place(place, other)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd.d", "/sst/1.sst", "MANIFEST", "sst/../1.sst", "sst/a/b.sst"]
)
def test_a_manifest_cannot_make_a_restore_write_elsewhere(name: str) -> None:
    encoded = Manifest(Place("c", 0, 1), "i", "", 1, 1, 1, 1, None, (File(name, 1, "0" * 64),), b"").encode()
    with pytest.raises(Malformed, match="no place in a store"):
        Manifest.decode(encoded)


@given(st.integers(0, LARGEST), st.integers(0, LARGEST), st.integers(0, LARGEST))
def test_names_sort_as_numbers_and_can_be_read(epoch: int, one: int, two: int) -> None:
    names = Names("uid", 3)
    assert (names.log(epoch, one) < names.log(epoch, two)) == (one < two)
    assert (names.manifest(one, epoch) < names.manifest(two, epoch)) == (one < two)
    assert names.place(names.log(epoch, one)) == names.place(names.manifest(epoch, one)) == (epoch, one)
    assert names.place(Names("uid", 4).log(epoch, one)) is None
    assert last_number(names.claim(epoch)) == epoch


def test_labels() -> None:
    manifest = Manifest(Place("c", 0, 3, 7), "i", "", 1, 1, 1, 1, None, (), b"")
    assert parse_label(manifest.label) == (3, 7)
    assert parse_label("latest") is None
