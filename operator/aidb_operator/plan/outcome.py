"""What a step sees, and what it wants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from aidb_operator.api.cluster import ClusterSpec
from aidb_operator.kubernetes.kinds import Kind, Raw
from aidb_operator.names import Names
from aidb_operator.observed import Observed, Place


@dataclass(frozen=True, slots=True)
class Desired:
    """An object as it is to be. Of workloads, `replicas` is set through the scale subresource and is not
    part of the object: what is applied again restarts pods, what is scaled does not.

    `inputs`: hash of what users may change of a pod template. An object whose hash is the same is left
    alone, whatever the operator of today would make of it. `only_count`: a gate holds the rest back.
    `fresh`: one that was not seen is created, which fails when there is one: for what must never be
    overwritten by somebody who has not seen it.
    """

    raw: Raw
    replicas: int | None = None
    inputs: str = ""
    only_count: bool = False
    fresh: bool = False

    @property
    def name(self) -> str:
        name: str = self.raw["metadata"]["name"]
        return name


@dataclass(frozen=True, slots=True)
class Over:
    """An incarnation that the topology, in the ConfigMap `topology`, does not want any more."""

    topology: str
    place: Place


@dataclass(frozen=True, slots=True)
class Delete:
    """Of the object with that uid. `propagation`: Orphan keeps what it owns. `grace`: seconds, of a pod.

    `over`: only if the topology, read once more, says so. What the watches saw of two objects may be of
    different times, and this is what data is lost by.
    """

    kind: Kind
    name: str
    uid: str
    why: str
    propagation: Literal["", "Foreground", "Background", "Orphan"] = ""
    grace: int | None = None
    over: Over | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """Merge patch of an object that others write as well."""

    kind: Kind
    name: str
    body: Mapping[str, Any] = field(repr=False)
    why: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """Of the coordinator: a method of `aidb.v1.Coordination` and its request, which may be repeated. `then`
    is carried out once it was answered well.
    """

    method: str
    request: Any = field(repr=False)
    why: str
    then: Sequence[Patch] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """`status` None = Unknown."""

    type: str
    status: bool | None
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Of the cluster. `reason` is stable and PascalCase; the same one again within an hour is not told."""

    reason: str
    message: str
    warning: bool = False


Action = Desired | Delete | Patch | Call


@dataclass(frozen=True, slots=True)
class Outcome:
    """`actions` are carried out in order. `ends`: why no later step is to run. `again`: seconds until
    somebody should look again although nothing has happened.
    """

    actions: Sequence[Action] = ()
    conditions: Sequence[Condition] = ()
    events: Sequence[Event] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    ends: str = ""
    again: float | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What a step decides by. `cluster` is the AidbCluster as it is stored, `spec` the same, typed.
    `default_image`: of the programs where the spec names none.
    """

    cluster: Raw = field(repr=False)
    spec: ClusterSpec
    observed: Observed = field(repr=False)
    now: datetime
    default_image: str = ""

    @property
    def name(self) -> str:
        name: str = self.cluster["metadata"]["name"]
        return name

    @property
    def namespace(self) -> str:
        namespace: str = self.cluster["metadata"]["namespace"]
        return namespace

    @property
    def names(self) -> Names:
        return Names(self.name)


def objects(found: Iterable[Raw]) -> tuple[Desired, ...]:
    return tuple(Desired(raw) for raw in found)
