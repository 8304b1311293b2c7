"""What may be asked for, and the operation that it becomes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aidb_coordinator.registration import MAX_REPLICAS
from aidb_coordinator.scaling.operation import RESHAPING, Kind, Operation, Phase, State
from aidb_coordinator.slot_load import By
from aidb_coordinator.topology import Topology

MAX_ID = 48


class Refused(ValueError):
    """It makes no sense: the message says why and what to do."""


class InTheWay(Refused):
    """Another operation has to end first."""


@dataclass(frozen=True, slots=True)
class Request:
    """`count`: shards or replicas to add, or replicas to remove. `replicas`: of each new shard; None: as many
    as usual. `names`: replicas to remove; empty: the newest.
    """

    id: str
    kind: Kind
    count: int = 1
    shards: tuple[int, ...] = ()
    replicas: int | None = None
    names: tuple[str, ...] = ()
    by: By = By.SLOTS
    asked_by: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """`replicas`: of a new shard, when the request does not say. `by`: what slots can be evened by."""

    max_shards: int
    max_replicas: int = MAX_REPLICAS
    replicas: int = 0
    by: tuple[By, ...] = (By.SLOTS,)


def accept(
    request: Request,
    topology: Topology,
    provisioned: Mapping[int, tuple[str, ...]],
    others: Sequence[Operation],
    limits: Limits,
    now_ms: int,
) -> Operation:
    """`others`: operations that have not ended. Raises Refused."""
    if request.count < 1:
        raise Refused(f"{request.count} is no number of them: ask for one at least")
    _check_others(request, others)
    for shard in request.shards:
        if topology.shard(shard) is None:
            raise Refused(f"there is no shard {shard}")
    match request.kind:
        case Kind.ADD_SHARD:
            return _add_shards(request, topology, limits, now_ms)
        case Kind.REMOVE_SHARD:
            return _remove_shards(request, topology, now_ms)
        case Kind.REBALANCE:
            if request.by not in limits.by:
                raise Refused(
                    f"the {request.by} of single slots is not measured: rebalance by "
                    f"{' or '.join(by.value for by in limits.by)}"
                )
            return _operation(request, (), Phase.PLANNING, now_ms)
        case _:
            return _replicas(request, topology, provisioned, limits, now_ms)


def _check_others(request: Request, others: Sequence[Operation]) -> None:
    for other in others:
        advice = f"wait for it, or cancel it: aidb-admin operations cancel {other.id}"
        if request.kind in RESHAPING and other.reshapes:
            raise InTheWay(f"operation {other.id} ({other.describe()}) is {other.state}: {advice}")
        if not set(request.shards).isdisjoint(other.shards):
            raise InTheWay(
                f"operation {other.id} ({other.describe()}) is {other.state}, of the same shard: {advice}"
            )


def _add_shards(request: Request, topology: Topology, limits: Limits, now_ms: int) -> Operation:
    after = len(topology.shards) + request.count
    if after > limits.max_shards:
        raise Refused(f"{after} shards are more than there may be: {limits.max_shards} (--max-shards)")
    replicas = limits.replicas if request.replicas is None else request.replicas
    if not 0 <= replicas <= limits.max_replicas:
        raise Refused(f"a shard has 0 to {limits.max_replicas} replicas, not {replicas}")
    ids = tuple(range(topology.free_id, topology.free_id + request.count))
    return _operation(request, ids, Phase.PROVISIONING, now_ms, replicas=replicas)


def _remove_shards(request: Request, topology: Topology, now_ms: int) -> Operation:
    shards = tuple(sorted(set(request.shards)))
    if not shards:
        raise Refused("say which shards are to go")
    if len(shards) >= len(topology.shards):
        raise Refused(
            f"there are {len(topology.shards)} shards, and somebody has to have the slots: one stays at least"
        )
    return _operation(request, shards, Phase.PLANNING, now_ms)


def _replicas(
    request: Request,
    topology: Topology,
    provisioned: Mapping[int, tuple[str, ...]],
    limits: Limits,
    now_ms: int,
) -> Operation:
    if len(request.shards) != 1:
        raise Refused("say of which shard")
    (shard_id,) = request.shards
    wanted = provisioned.get(shard_id, ())
    if request.kind is Kind.ADD_REPLICA:
        after = len(wanted) + request.count
        if after > limits.max_replicas:
            raise Refused(f"shard {shard_id} may have {limits.max_replicas} replicas, not {after}")
        shard = topology.shard(shard_id)
        there = {replica.name for replica in shard.replicas} if shard else set()
        known = tuple(sorted({*wanted, *there}))
        return _operation(request, (shard_id,), Phase.PROVISIONING, now_ms, replicas=after, names=known)
    names = tuple(sorted(set(request.names))) or wanted[max(0, len(wanted) - request.count) :]
    if strangers := set(names) - set(wanted):
        raise Refused(
            f"{min(strangers)} is no replica of shard {shard_id}: it has {', '.join(wanted) or 'none'}"
        )
    if not names or (not request.names and request.count > len(wanted)):
        raise Refused(f"shard {shard_id} has {len(wanted)} replicas")
    after = len(wanted) - len(names)
    return _operation(request, (shard_id,), Phase.PROVISIONING, now_ms, replicas=after, names=names)


def _operation(
    request: Request,
    shards: tuple[int, ...],
    phase: Phase,
    now_ms: int,
    *,
    replicas: int = 0,
    names: tuple[str, ...] = (),
) -> Operation:
    return Operation(
        id=request.id,
        kind=request.kind,
        shards=shards,
        state=State.RUNNING,
        phase=phase,
        created_ms=now_ms,
        since_ms=now_ms,
        replicas=replicas,
        names=names,
        by=request.by,
        asked_by=request.asked_by,
    )
