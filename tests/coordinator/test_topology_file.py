"""What a coordinator keeps: it stays under 1 MB at 1,000 shards whatever has moved, says what it is, and no
damage to it goes unnoticed.
"""

from __future__ import annotations

import json
import random
import uuid
from pathlib import Path

import pytest
from aidb_coordinator import codec
from aidb_coordinator.store import StoreError
from aidb_coordinator.store.content import decode, encode
from aidb_coordinator.topology import (
    MAX_CUTS,
    Cut,
    Member,
    Role,
    Shard,
    SlotEpoch,
    SlotSpan,
    Successor,
    Topology,
    pack_owners,
    unpack_owners,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from aidb import topology_file
from aidb.admin import slots
from aidb.admin.topology import show
from aidb.cli.exits import Failure
from aidb.cli.parameters import Output
from aidb.local import incarnations
from aidb.slots import SLOT_COUNT

# What etcd, and so a Kubernetes object, may have.
MOST = 1_000_000


def large(dice: random.Random, shards: int, replicas: int, ranges: int, cuts: int) -> Topology:
    """Everything that does not repeat itself is as random as can be."""
    firsts = [0, *sorted(dice.sample(range(1, SLOT_COUNT), ranges - 1))]
    owners: list[int] = []
    epochs = []
    for first, end in zip(firsts, [*firsts[1:], SLOT_COUNT], strict=True):
        owners += [dice.randrange(shards)] * (end - first)
        epochs.append(SlotEpoch(SlotSpan(first, end - 1), dice.randint(1, 200), dice.getrandbits(48)))
    return Topology(
        cluster_uid=str(uuid.UUID(int=dice.getrandbits(128))),
        slot_owners=pack_owners(owners),
        shards=tuple(_shard(dice, shard, replicas, cuts) for shard in range(shards)),
        version=dice.getrandbits(32),
        term=dice.randint(1, 1000),
        slot_epochs=tuple(epochs),
    )


def _shard(dice: random.Random, shard: int, replicas: int, cuts: int) -> Shard:
    def member(name: str, role: Role) -> Member:
        address = ".".join(str(dice.randrange(256)) for _ in range(4))
        zone, node = f"region-1{dice.choice('abc')}", f"ip-{address}.ec2.internal"
        return Member(name, f"{address}:7000", role, shard, zone, node, metrics_address=f"{address}:9000")

    epochs = sorted(dice.sample(range(1, 1000), cuts))
    return Shard(
        id=shard,
        epoch=1000,
        incarnation=shard % 7 + 1,
        disk_id=str(uuid.UUID(int=dice.getrandbits(128))),
        primary=member(f"shard-{shard}-primary", Role.PRIMARY),
        replicas=tuple(member(f"shard-{shard}-replica-{number}", Role.REPLICA) for number in range(replicas)),
        cuts=tuple(Cut(epoch, (epoch << 32) + dice.getrandbits(32)) for epoch in epochs),
        successor=Successor(shard % 7 + 2, planned=True) if shard % 3 == 0 else None,
    )


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, SLOT_COUNT), st.integers(0, MAX_CUTS))
def test_a_thousand_shards_fit(seed: int, ranges: int, cuts: int) -> None:
    document = large(random.Random(seed), 1000, 2, ranges, cuts)
    content = encode(document, 7)
    assert len(content) < MOST
    assert decode("topology.json", content, "") == (document, 7)


def test_the_worst_that_a_thousand_shards_can_be_fits() -> None:
    assert len(encode(large(random.Random(1), 1000, 2, SLOT_COUNT, MAX_CUTS), 2**40)) < MOST


BOTH_FORMS = [
    (topology_file.READABLE, large(random.Random(2), 3, 2, 9, 3)),
    (topology_file.COMPACT, large(random.Random(2), 70, 2, 5000, 10)),
]


@pytest.mark.parametrize(("form", "document"), BOTH_FORMS, ids=["readable", "compact"])
def test_the_begin_of_the_file_says_what_it_is(form: int, document: Topology) -> None:
    content = encode(document, 3)
    found = json.loads(content)
    assert (found["format"], found["magic"], found["revision"]) == (form, "aidb-topology", 3)
    about = found["topology"] if form == topology_file.READABLE else found
    assert int(about["version"]) == document.version
    if form == topology_file.COMPACT:
        begin = content[: content.index(b'"deflated"') + 200]
        assert document.cluster_uid.encode() in begin
        assert b'"shards":70' in content


@pytest.mark.parametrize(("form", "document"), BOTH_FORMS, ids=["readable", "compact"])
def test_no_damage_goes_unnoticed(form: int, document: Topology) -> None:
    good = encode(document, 3)
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(40):
        damaged = bytearray(good)
        damaged[dice.randrange(len(good) - 1)] ^= 1 << dice.randrange(8)
        with pytest.raises(StoreError):
            decode("topology.json", bytes(damaged), "")
        with pytest.raises(StoreError, match="damaged"):
            decode("topology.json", good[: dice.randrange(len(good) - 1)], "")


@pytest.mark.parametrize(("form", "document"), BOTH_FORMS, ids=["readable", "compact"])
def test_the_supervisor_reads_both_forms(form: int, document: Topology) -> None:
    found = incarnations.parse(encode(document, 3))
    assert {shard: (one.published, one.wanted) for shard, one in found.items()} == {
        shard.id: (shard.incarnation, 0 if shard.successor is None else shard.successor.incarnation)
        for shard in document.shards
    }


def test_what_older_versions_wrote_is_read_whatever_its_size() -> None:
    """They knew format 1 alone."""
    document = large(random.Random(3), 200, 2, 3000, 4)
    body = topology_file.canonical(codec.to_json(document))
    head = {"format": 1, "magic": "aidb-topology", "revision": 4, "sha256": topology_file.checksum(4, body)}
    content = topology_file.canonical(head)[:-1] + b',"topology":' + body + b"}\n"
    assert decode("topology.json", content, "")[0] == document


@pytest.mark.parametrize(("form", "document"), BOTH_FORMS, ids=["readable", "compact"])
def test_people_can_read_both_forms(
    form: int, document: Topology, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "topology.json"
    file.write_bytes(encode(document, 3))
    assert show(None, file, Output.JSON) == 0
    printed = json.loads(capsys.readouterr().out)
    owners = unpack_owners(document.slot_owners)
    for shard, ranges in printed["slots"].items():
        for first, last in slots.parse(ranges):
            assert set(owners[first : last + 1]) == {int(shard)}
    assert sum(
        last - first + 1 for text in printed["slots"].values() for first, last in slots.parse(text)
    ) == (SLOT_COUNT)
    assert show(None, file, Output.TABLE) == 0
    assert f"version {document.version}" in capsys.readouterr().out


def test_what_is_no_topology_is_named(tmp_path: Path) -> None:
    file = tmp_path / "topology.json"
    for content, words in (
        ("{}", "not a topology"),
        ('{"magic": "aidb-topology", "revision": 1}', "damaged"),
    ):
        file.write_text(content)
        with pytest.raises(Failure, match=words) as caught:
            show(None, file, Output.TABLE)
        assert str(file) in str(caught.value)
