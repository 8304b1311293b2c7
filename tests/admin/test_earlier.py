"""Every option of the tool that came before does what it says, or is refused with what to do instead."""

from __future__ import annotations

import pytest

from aidb.admin.earlier import MEANINGS, OPTIONS, Refused, translated
from aidb.cli.exits import Exit, Failure
from aidb.v1 import cluster_pb2 as pb


def look(address: str | None) -> pb.ClusterStatus:
    assert address in (None, "c:1"), "the coordinator that was named is asked"

    def member(name: str, address: str) -> pb.MemberStatus:
        return pb.MemberStatus(member=pb.Member(name=name, address=address))

    return pb.ClusterStatus(
        shards=[
            pb.ShardStatus(
                id=shard,
                primary=member(f"shard-{shard}-primary", f"p:{shard}"),
                replicas=[
                    member(f"shard-{shard}-replica-{number}", f"r:{shard}{number}") for number in range(2)
                ],
            )
            for shard in range(3)
        ]
    )


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("list-shards --coordinator-addr c:1", "list-shards --address c:1"),
        ("status --coordinator-addr=c:1 -o json", "status -o json --address c:1"),
        ("operations pause ID --coordinator-addr c:1", "operations pause ID --address c:1"),
        ("remove-shard --shard-id 2 --yes", "remove-shard --yes --shard 2"),
        ("backup --shard-id 1", "backup --shard 1"),
        ("backup --primary-addr p:2", "backup --shard 2"),
        ("hand-over --primary-addr p:0 --coordinator-addr c:1", "hand-over --address c:1 --shard 0"),
        ("add-replica --primary-addr p:1", "add-replica --shard 1"),
        ("verify --data-dir DIR", "verify --data DIR"),
        ("verify-store --data-dir DIR", "verify-store DIR"),
        ("remove-replica --replica-addr r:21", "remove-replica --replica shard-2-replica-1 --shard 2"),
        (
            "remove-replica --shard-id 1 --replica-id 0",
            "remove-replica --shard 1 --replica shard-1-replica-0",
        ),
        (
            "remove-replica --replica-id shard-1-replica-1",
            "remove-replica --replica shard-1-replica-1 --shard 1",
        ),
        (
            "recover --shard-id 1 --snapshot-id e3-7 --target-dir DIR --data-dir D",
            "recover --shard 1 --snapshot e3-7 --into DIR --data D",
        ),
        ("drill --target-dir DIR", "drill --scratch DIR"),
        ("salvage -- --data-dir", "salvage -- --data-dir"),
        ("backup --shard 1", "backup --shard 1"),
    ],
)
def test_it_does_what_it_says(given: str, ours: str) -> None:
    assert translated(given.split(), look) == ours.split()


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        ("recover --coordinator-addr c:1", "--objects"),
        ("add-shard --shard-id 3", "leave it out"),
        ("add-shard --primary-addr h:1", "leave it out"),
        ("add-shard --data-dir D", "leave it out"),
        ("move-slots --shard-id 1", "--from and --to"),
        ("add-replica --replica-addr h:1", "leave it out"),
        ("add-replica --replica-id 3", "--count"),
        ("backup --data-dir D", "--shard"),
        ("backup --snapshot-id mine", "--name"),
        ("backup --target-dir D", "object store"),
        ("backup --primary-addr p:9", "list-shards"),
        ("remove-replica --replica-addr r:99", "status"),
        ("remove-replica --replica-id 1", "a number needs --shard"),
        ("dump-log --target-dir D", "leave it out"),
        ("status --shard-id", "needs a value"),
    ],
)
def test_or_is_refused_with_what_to_do_instead(given: str, instead: str) -> None:
    with pytest.raises(Failure) as caught:
        translated(given.split(), look)
    assert caught.value.code is Exit.BAD_INPUT
    said = str(caught.value)
    assert instead in said
    assert next(word.partition("=")[0] for word in given.split() if word.startswith("--")) in said


def test_every_option_has_a_use_and_every_command_is_one() -> None:
    from typer.main import get_command

    from aidb.admin.app import app

    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    assert {command for command, _ in MEANINGS} <= commands
    for option in OPTIONS:
        used = [meaning for (_, name), meaning in MEANINGS.items() if name == option]
        assert any(not isinstance(meaning, Refused) for meaning in used), option


def test_what_it_is_replaced_by_is_an_option_of_that_command() -> None:
    from typer.main import get_command

    from aidb.admin.app import app
    from aidb.admin.earlier import OfPrimary, OfReplica, Same

    group = get_command(app)
    for (name, option), meaning in MEANINGS.items():
        command = group.commands[name]  # type: ignore[attr-defined]
        parts = [command, *getattr(command, "commands", {}).values()]
        known = {word for part in parts for parameter in part.params for word in parameter.opts}
        match meaning:
            case Same(""):
                assert any(parameter.param_type_name == "argument" for parameter in command.params), name
            case Same(ours):
                assert ours in known, (name, option)
            case OfPrimary():
                assert "--shard" in known, (name, option)
            case OfReplica():
                assert {"--shard", "--replica"} <= known, (name, option)
