"""What an operation does next. Pure: (operation, view) -> action.

Every action may be carried out any number of times, and each is decided by what is there, not by what was
done: whoever carried out the last one may have died before or after it.

    add_shard       provisioning -> planning <-> moving -> done
    remove_shard    planning <-> moving -> settling -> backing_up -> retiring -> done
    rebalance       planning <-> moving -> done
    *_replica       provisioning -> done

A shard is dropped from the topology before its programs are stopped: nobody takes over what is gone. What was
cancelled, or has failed, stays where it is, except shards and replicas that came for it and serve nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from aidb_coordinator.moves import Room, find, live
from aidb_coordinator.rebalance import PlannedMove
from aidb_coordinator.scaling import actions
from aidb_coordinator.scaling.actions import Action
from aidb_coordinator.scaling.operation import Kind, Operation, Phase, State
from aidb_coordinator.scaling.view import Backup, View
from aidb_coordinator.topology import LIVE, MoveStep, Topology

# So long shards or replicas may take to serve.
PROVISION_MS = 600_000
# So long a shard without slots goes on answering that they have moved, before it goes.
SETTLE_MS = 5_000
# A plan that does not fit any more is made anew, so often.
MAX_PLANS = 100


def next_action(operation: Operation, view: View) -> Action:
    if operation.ended:
        return actions.Wait("")
    if operation.state is State.CANCELLING:
        return _undo(operation, view)
    if operation.state is State.PAUSED:
        count = len(_live(operation, view))
        return actions.Wait(f"paused; {count} moves end by themselves" if count else "paused")
    match operation.phase:
        case Phase.PROVISIONING:
            return _provision(operation, view)
        case Phase.PLANNING:
            return actions.MakePlan()
        case Phase.MOVING:
            return _move(operation, view)
        case Phase.SETTLING:
            return _settle(operation, view)
        case Phase.BACKING_UP:
            return _back_up(operation, view)
        case Phase.RETIRING:
            return _retire(operation, view) or _end(operation, view)


def enter(operation: Operation, phase: Phase, view: View) -> Action:
    return actions.Become(replace(operation, phase=phase, since_ms=view.now_ms))


def fail(operation: Operation, error: str, view: View) -> Action:
    return actions.Become(replace(operation, state=State.CANCELLING, error=error, since_ms=view.now_ms))


def _end(operation: Operation, view: View, state: State = State.DONE) -> Action:
    return actions.Become(replace(without_plan(operation, view.topology), state=state, since_ms=view.now_ms))


def without_plan(operation: Operation, topology: Topology) -> Operation:
    """What it has moved is all that is left of the plan."""
    moved = sum(move.slot_count for move in operation.plan if owners_of(move, topology) == {move.target})
    return replace(operation, plan=(), moved=operation.moved + moved)


def owners_of(move: PlannedMove, topology: Topology) -> set[int]:
    """Of its slots."""
    owners = set()
    for span in move.slots:
        found = topology.slot_owners[2 * span.first : 2 * span.last + 2]
        # Nearly always one shard has all of them; looked at at each step.
        if found == found[:2] * (span.last - span.first + 1):
            owners.add(topology.owner(span.first))
        else:
            owners.update(map(topology.owner, range(span.first, span.last + 1)))
    return owners


def _provision(operation: Operation, view: View) -> Action:
    if operation.kind is Kind.ADD_SHARD:
        there = {shard.id for shard in view.topology.shards} & view.provisioned.keys()
        if not there.issuperset(operation.shards):
            return actions.Provision(operation.shards, operation.replicas)
        late = [f"the primary of shard {shard}" for shard in operation.shards if not view.serves(shard)]
    elif operation.kind is Kind.ADD_REPLICA:
        (shard,) = operation.shards
        if len(view.provisioned.get(shard, ())) < operation.replicas:
            return actions.SetReplicas(shard, operation.replicas, ())
        late = [name for name in _new_replicas(operation, view) if name not in view.healthy]
    else:
        return _let_replicas_go(operation, operation.names, view) or _end(operation, view)
    if late and view.now_ms - operation.since_ms > PROVISION_MS:
        seconds = PROVISION_MS // 1000
        return fail(
            operation,
            f"{late[0]} does not serve after {seconds} s: look at its log, and ask for it again",
            view,
        )
    if late:
        return actions.Wait(f"{', '.join(late[:3])} to serve")
    if operation.kind is Kind.ADD_SHARD:
        return enter(operation, Phase.PLANNING, view)
    return _end(operation, view)


def _move(operation: Operation, view: View) -> Action:
    room = Room(view.moves_per_shard, view.moves_at_once, live(view.topology))
    begin, left = [], 0
    for number, planned in enumerate(operation.plan):
        owners = owners_of(planned, view.topology)
        move_id = operation.move_id(number)
        if owners == {planned.target}:
            continue
        left += 1
        known = find(view.topology, move_id)
        if known is not None and known.step in LIVE:
            continue
        if known is not None and known.step in (MoveStep.FAILED, MoveStep.CANCELLED):
            why = f": {known.reason}" if known.step is MoveStep.FAILED else " by hand"
            advice = "what has moved stays; ask for it again to move the rest"
            return fail(operation, f"move {move_id} was {known.step}{why}; {advice}", view)
        if owners != {planned.source} or view.topology.shard(planned.target) is None:
            return _plan_anew(operation, view)
        if room.has(planned.source, planned.target):
            begin.append((move_id, planned))
            room.take(planned.source, planned.target)
    if begin:
        return actions.BeginMoves(tuple(begin))
    if left:
        return actions.Wait(f"{left} moves to end")
    if operation.kind is not Kind.REMOVE_SHARD:
        return _end(operation, view)
    return (
        _plan_anew(operation, view)
        if _holds_slots(operation, view)
        else enter(operation, Phase.SETTLING, view)
    )


def _plan_anew(operation: Operation, view: View) -> Action:
    """Others have moved slots meanwhile."""
    if operation.plans >= MAX_PLANS:
        return fail(operation, f"others move the same slots: {MAX_PLANS} plans did not hold; ask again", view)
    if list(live(view.topology)):
        return actions.Wait("moves under way to end, because the plan does not fit any more")
    return enter(without_plan(operation, view.topology), Phase.PLANNING, view)


def _settle(operation: Operation, view: View) -> Action:
    if _holds_slots(operation, view):
        return _plan_anew(operation, view)
    if view.now_ms - operation.since_ms < SETTLE_MS:
        return actions.Wait("clients to learn where the slots are")
    return enter(operation, Phase.BACKING_UP if view.archives else Phase.RETIRING, view)


def _back_up(operation: Operation, view: View) -> Action:
    if _holds_slots(operation, view):
        return _plan_anew(operation, view)
    for shard_id in operation.shards:
        shard = view.topology.shard(shard_id)
        if shard is None or shard.fresh or view.backups.get(shard_id) is Backup.DONE:
            continue
        if (backup := view.backups.get(shard_id)) is not None:
            return actions.Wait(f"the last snapshot of shard {shard_id}, which is {backup.value}")
        if not view.serves(shard_id):
            return actions.Wait(f"the primary of shard {shard_id} to serve, for its last snapshot")
        return actions.BackUp(shard_id)
    return enter(operation, Phase.RETIRING, view)


def _retire(operation: Operation, view: View) -> Action | None:
    """None: they are gone."""
    there = tuple(shard for shard in operation.shards if view.topology.shard(shard) is not None)
    if there:
        return actions.Drop(there)
    kept = tuple(shard for shard in operation.shards if shard in view.provisioned)
    return actions.Retire(kept) if kept else None


def _undo(operation: Operation, view: View) -> Action:
    if mine := _live(operation, view):
        return actions.CancelMoves(tuple(mine))
    if operation.kind is Kind.ADD_SHARD:
        counts = view.topology.slot_counts
        busy = {shard for move in live(view.topology) for shard in (move.source, move.target)}
        idle = tuple(s for s in operation.shards if not counts.get(s) and s not in busy)
        if idle and (action := _retire(replace(operation, shards=idle), view)):
            return action
    if operation.kind is Kind.ADD_REPLICA and (
        action := _let_replicas_go(operation, tuple(_new_replicas(operation, view)), view)
    ):
        return action
    return _end(operation, view, State.FAILED if operation.error else State.CANCELLED)


def _let_replicas_go(operation: Operation, names: tuple[str, ...], view: View) -> Action | None:
    """None: they are gone. One that keeps the log's tail stays in the topology until its primary has let go
    of it, which it does when the archive has what it holds (D5).
    """
    (shard_id,) = operation.shards
    wanted = view.provisioned.get(shard_id, ())
    if doomed := [name for name in wanted if name in names]:
        # Of one that removes, the number is known: somebody else may have made fewer of them meanwhile.
        removes = operation.kind is Kind.REMOVE_REPLICA
        left = operation.replicas if removes else len(wanted) - len(doomed)
        return actions.SetReplicas(shard_id, left, tuple(doomed))
    shard = view.topology.shard(shard_id)
    for replica in () if shard is None else shard.replicas:
        if replica.name not in names:
            continue
        if replica.name not in view.away:
            return actions.Wait(f"{replica.name} to stop")
        if shard is not None and replica.name in shard.tail_set:
            return actions.Wait(f"the archive to have what {replica.name} kept of the log")
        return actions.Forget(replica.name)
    return None


def _new_replicas(operation: Operation, view: View) -> Iterator[str]:
    """Those that came since."""
    (shard_id,) = operation.shards
    known = {*view.provisioned.get(shard_id, ())}
    if operation.state is State.CANCELLING and (shard := view.topology.shard(shard_id)) is not None:
        # The provisioner may have let go of them already.
        known.update(replica.name for replica in shard.replicas)
    return (name for name in sorted(known) if name not in operation.names)


def _live(operation: Operation, view: View) -> list[str]:
    return [move.id for move in live(view.topology) if operation.owns_move(move.id)]


def _holds_slots(operation: Operation, view: View) -> bool:
    return any(view.topology.slot_counts.get(shard) for shard in operation.shards)
