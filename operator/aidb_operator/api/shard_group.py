"""ShardGroup: one shard. Its scale subresource is the number of its cache replicas."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from aidb_operator.api.conditions import Conditions
from aidb_operator.api.model import Model, Resource, Rule, extra
from aidb_operator.api.pod import Name


class ShardGroupSpec(Model):
    cluster: Name = Field(
        description="The AidbCluster that it is a shard of.",
        json_schema_extra=extra(Rule("self == oldSelf", "a shard stays in its cluster")),
    )
    shard: int = Field(
        ge=0,
        le=99_999,
        description="Its number in the topology.",
        json_schema_extra=extra(Rule("self == oldSelf", "a shard keeps its number")),
    )
    replicas: int = Field(
        default=2,
        ge=0,
        le=100,
        description="Cache replicas. Written by the operator, unless the autoscaler or a"
        " HorizontalPodAutoscaler does.",
    )


class ShardGroupStatus(Model):
    observed_generation: int = Field(default=0, description="Of the spec that this speaks of.")
    replicas: int = Field(default=0, description="Cache replicas that there are.")
    ready_replicas: int = Field(default=0, description="Of those, the ready ones.")
    selector: str | None = Field(
        default=None, max_length=1024, description="Of the replicas' pods, for a HorizontalPodAutoscaler."
    )
    incarnation: int | None = Field(default=None, description="Of the primary's pod and volume.")
    epoch: int | None = Field(default=None, description="Of the shard in the topology.")
    primary: str | None = Field(default=None, description="The primary's pod.")
    node: str | None = Field(default=None, description="Where the primary runs.")
    zone: str | None = Field(default=None, description="Where the primary runs.")
    slots: int | None = Field(default=None, description="Of 16384 that it owns.")
    keys: int | None = Field(default=None, description="That it holds, an estimate.")
    bytes: int | None = Field(default=None, description="That it holds on disk.")
    scaled_by: str | None = Field(
        default=None, description="Who writes spec.replicas: the cluster, the autoscaler, or an HPA's name."
    )
    conditions: Conditions = ()


class ShardGroup(Resource):
    """A shard of a cluster: one primary and its cache replicas. Made by the operator."""

    rules = (
        Rule(
            "self.metadata.name.startsWith(self.spec.cluster + '-')"
            " && self.metadata.name.substring(size(self.spec.cluster) + 1).matches('^(0|[1-9][0-9]*)$')"
            " && int(self.metadata.name.substring(size(self.spec.cluster) + 1)) == self.spec.shard",
            "metadata.name has to be CLUSTER-SHARD; the operator makes ShardGroups",
        ),
    )

    api_version: Literal["aidb.io/v1alpha1"] = "aidb.io/v1alpha1"
    kind: Literal["ShardGroup"] = "ShardGroup"
    spec: ShardGroupSpec = Field(description="As it should be.")
    status: ShardGroupStatus = Field(default_factory=ShardGroupStatus, description="As it was last seen.")

    plural: ClassVar[str] = "shardgroups"
