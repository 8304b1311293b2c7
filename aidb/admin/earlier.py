"""The options of the tool that came before: each does what it says, or is refused with what to do instead.

Their words are replaced before the command line is read. What a cluster has to be asked for (which shard has
that primary?) is asked through `Look`; the rest is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aidb.cli.exits import Exit, Failure
from aidb.v1 import cluster_pb2 as pb

OPTIONS = (
    "--coordinator-addr",
    "--primary-addr",
    "--data-dir",
    "--shard-id",
    "--replica-addr",
    "--replica-id",
    "--snapshot-id",
    "--target-dir",
)

# What the coordinator at an address (None: the default one) says of its cluster. Raises Failure.
Look = Callable[[str | None], pb.ClusterStatus]


@dataclass(frozen=True, slots=True)
class Same:
    """Another name of ``option``; without one, of the command's argument."""

    option: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """``instead`` says what to do."""

    instead: str


@dataclass(frozen=True, slots=True)
class OfPrimary:
    """The shard whose primary listens there."""


@dataclass(frozen=True, slots=True)
class OfReplica:
    """The replica that listens there, or has that name or number."""


Meaning = Same | Refused | OfPrimary | OfReplica

_PROVISIONED = "who provisions it chooses that (in a local cluster: its supervisor): leave it out"
_SHARDS = ("remove-shard", "add-replica", "remove-replica", "backup", "hand-over", "take-over", "drill")
_STORES = ("backups", "recover", "verify", "retention")
_DIRECTORIES = ("verify-store", "repair-store", "salvage")
_ASK = (
    *("add-shard", "rebalance", "operations", "move-slots", "moves", "list-shards", "status", "topology"),
    *("autoscale", "salvage"),
    *_SHARDS,
)
_FROM_TO = "say --from and --to, by the numbers that list-shards shows"

MEANINGS: dict[tuple[str, str], Meaning] = {
    **{(command, "--coordinator-addr"): Same("--address") for command in _ASK},
    **{
        (command, "--coordinator-addr"): Refused("it reads the object store alone: name that with --objects")
        for command in _STORES
    },
    **{(command, "--shard-id"): Same("--shard") for command in (*_SHARDS, *_STORES)},
    ("add-shard", "--shard-id"): Refused("the coordinator numbers new shards: leave it out"),
    ("move-slots", "--shard-id"): Refused(_FROM_TO),
    **{(command, "--primary-addr"): OfPrimary() for command in _SHARDS},
    ("add-shard", "--primary-addr"): Refused(_PROVISIONED),
    ("move-slots", "--primary-addr"): Refused(_FROM_TO),
    **{(command, "--data-dir"): Same("--data") for command in (*_STORES, "drill", "certificates")},
    **{(command, "--data-dir"): Same() for command in _DIRECTORIES},
    ("add-shard", "--data-dir"): Refused(_PROVISIONED),
    ("backup", "--data-dir"): Refused("a primary backs its own directory up: name the shard with --shard"),
    ("add-replica", "--replica-addr"): Refused(_PROVISIONED),
    ("add-replica", "--replica-id"): Refused("new replicas get the next numbers: say how many with --count"),
    ("remove-replica", "--replica-addr"): OfReplica(),
    ("remove-replica", "--replica-id"): OfReplica(),
    ("recover", "--snapshot-id"): Same("--snapshot"),
    ("backup", "--snapshot-id"): Refused(
        "snapshots get ids of their own, which backups lists: --name keeps words of yours with it"
    ),
    ("recover", "--target-dir"): Same("--into"),
    ("drill", "--target-dir"): Same("--scratch"),
    ("backup", "--target-dir"): Refused("snapshots go to the object store that the cluster was made with"),
}


def translated(arguments: Sequence[str], look: Look) -> list[str]:
    """The same command line in today's words. Raises Failure."""
    words = list(arguments)
    # `aidb-admin COMMAND ...`: no option comes before the command.
    if not words or words[0].startswith("-"):
        return words
    command, given, rest = words[0], list[tuple[str, str]](), list[str]()
    left = words[1:]
    while left:
        word = left.pop(0)
        if word == "--":
            rest += [word, *left]
            break
        name, equals, value = word.partition("=")
        if name not in OPTIONS:
            rest.append(word)
            continue
        if not equals:
            if not left:
                raise _refusal(f"{name} needs a value")
            value = left.pop(0)
        given.append((name, value))
    return [command, *_in_our_words(command, given, rest, look)]


def _in_our_words(command: str, given: list[tuple[str, str]], rest: list[str], look: Look) -> list[str]:
    words = list(rest)
    asked: list[tuple[str, str, Meaning]] = []
    for name, value in given:
        meaning = MEANINGS.get((command, name), Refused("it has no use for that: leave it out"))
        match meaning:
            case Refused(instead):
                raise _refusal(f"{command} takes no {name}: {instead}")
            case Same(""):
                words.append(value)
            case Same(option):
                words += [option, value]
            case _:
                asked.append((name, value, meaning))
    if asked:
        status = look(_value_of(words, "--address"))
        for name, value, meaning in asked:
            words += _found(name, value, meaning, words, status)
    return words


def _found(name: str, value: str, meaning: Meaning, words: list[str], status: pb.ClusterStatus) -> list[str]:
    if isinstance(meaning, OfPrimary):
        for shard in status.shards:
            if shard.primary.member.address == value:
                return ["--shard", str(shard.id)]
        raise _refusal(f"{name} {value}: no shard has its primary there; list-shards shows where they are")
    chosen = _value_of(words, "--shard")
    for shard in status.shards:
        for replica in shard.replicas:
            member = replica.member
            numbered = value.isdecimal() and member.name.endswith(f"-{value}") and chosen == str(shard.id)
            known = member.address == value if name == "--replica-addr" else member.name == value or numbered
            if known:
                return ["--replica", member.name, *([] if chosen else ["--shard", str(shard.id)])]
    where = "" if chosen is None else f" of shard {chosen}"
    hint = " (a number needs --shard)" if value.isdecimal() and chosen is None else ""
    raise _refusal(f"{name} {value}: there is no such replica{where}{hint}; status shows those that are")


def _value_of(words: Sequence[str], option: str) -> str | None:
    for index, word in enumerate(words):
        if word == option and index + 1 < len(words):
            return words[index + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def _refusal(message: str) -> Failure:
    return Failure(message, Exit.BAD_INPUT)
