"""What a user may say about the pods of a role; the parts of Kubernetes' own types that schedule them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from aidb_operator.api.model import Model, Rule, extra
from aidb_operator.api.quantity import Quantity

LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=LABEL_KEY)]
LabelValue = Annotated[str, Field(max_length=63, pattern=LABEL_VALUE)]
Labels = Annotated[dict[str, LabelValue], Field(max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_NAME)]

_OWN = Rule(
    "self.all(k, !k.contains('aidb.io/') && !k.contains('kubernetes.io/'))",
    "keys with aidb.io/ and kubernetes.io/ are the operator's and Kubernetes' own",
)
_KEYS = Rule(
    f"self.all(k, size(k) <= 317 && k.matches('{LABEL_KEY}'))",
    "keys are [prefix/]name: letters, digits, '-', '_' and '.'",
)


class Operator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class NodeOperator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


_VALUES = Rule(
    "self.operator in ['Exists', 'DoesNotExist'] ? (!has(self.values) || size(self.values) == 0)"
    " : (has(self.values) && size(self.values) > 0)",
    "In and NotIn take values, Exists and DoesNotExist take none",
    ".values",
)


class LabelRequirement(Model):
    rules = (_VALUES,)

    key: LabelKey = Field(description="Of the label.")
    operator: Operator = Field(description="How it is compared.")
    values: tuple[LabelValue, ...] = Field(default=(), max_length=32, description="With what it is compared.")


class LabelSelector(Model):
    match_labels: Labels = Field(default_factory=dict, description="All of them, as they are.")
    match_expressions: tuple[LabelRequirement, ...] = Field(
        default=(), max_length=16, description="And all of these."
    )


class NodeRequirement(Model):
    rules = (_VALUES,)

    key: LabelKey = Field(description="Of the node's label.")
    operator: NodeOperator = Field(description="How it is compared.")
    values: tuple[LabelValue, ...] = Field(default=(), max_length=32, description="With what it is compared.")


class NodeSelectorTerm(Model):
    match_expressions: tuple[NodeRequirement, ...] = Field(
        default=(), max_length=16, description="All of them, by label."
    )
    match_fields: tuple[NodeRequirement, ...] = Field(
        default=(), max_length=16, description="And these, by field."
    )


class NodeSelector(Model):
    node_selector_terms: tuple[NodeSelectorTerm, ...] = Field(
        min_length=1, max_length=16, description="A node has to meet one of them."
    )


class PreferredNodes(Model):
    weight: int = Field(ge=1, le=100, description="How much it counts, 1 to 100.")
    preference: NodeSelectorTerm = Field(description="What nodes should have.")


class NodeAffinity(Model):
    required_during_scheduling_ignored_during_execution: NodeSelector | None = Field(
        default=None, description="Nodes without it are not used."
    )
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredNodes, ...] = Field(
        default=(), max_length=16, description="Nodes with it are used first."
    )


class PodAffinityTerm(Model):
    label_selector: LabelSelector | None = Field(default=None, description="The pods that it speaks of.")
    topology_key: LabelKey = Field(description="Label of nodes; nodes with the same value are one place.")
    namespaces: tuple[Name, ...] = Field(
        default=(), max_length=32, description="Of those pods; else its own."
    )
    namespace_selector: LabelSelector | None = Field(
        default=None, description="Namespaces of those pods, by label."
    )


class PreferredPods(Model):
    weight: int = Field(ge=1, le=100, description="How much it counts, 1 to 100.")
    pod_affinity_term: PodAffinityTerm = Field(description="The pods that it speaks of.")


class PodAffinity(Model):
    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = Field(
        default=(), max_length=16, description="Other places are not used."
    )
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredPods, ...] = Field(
        default=(), max_length=16, description="These places come first."
    )


class Affinity(Model):
    node_affinity: NodeAffinity | None = Field(default=None, description="To nodes.")
    pod_affinity: PodAffinity | None = Field(default=None, description="Near other pods.")
    pod_anti_affinity: PodAffinity | None = Field(default=None, description="Away from other pods.")


class IpBlock(Model):
    cidr: str = Field(max_length=64, description="Addresses, such as 10.0.0.0/8.")
    except_: tuple[Annotated[str, Field(max_length=64)], ...] = Field(
        default=(), alias="except", max_length=16, description="But these within it."
    )


class Peer(Model):
    """As of a NetworkPolicy."""

    rules = (
        Rule(
            "has(self.ipBlock) ? !(has(self.podSelector) || has(self.namespaceSelector))"
            " : (has(self.podSelector) || has(self.namespaceSelector))",
            "either ipBlock, or podSelector and namespaceSelector",
            ".ipBlock",
        ),
    )

    pod_selector: LabelSelector | None = Field(
        default=None,
        description="Pods by label, in the cluster's namespace unless namespaceSelector is given.",
    )
    namespace_selector: LabelSelector | None = Field(default=None, description="Namespaces by label.")
    ip_block: IpBlock | None = Field(default=None, description="Addresses outside of the cluster.")


class TolerationOperator(StrEnum):
    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    rules = (
        Rule(
            "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
            "Exists takes no value",
            ".value",
        ),
        Rule(
            "has(self.key) && self.key != '' || (has(self.operator) && self.operator == 'Exists')",
            "without a key, the operator has to be Exists",
            ".operator",
        ),
        Rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds goes with the effect NoExecute",
            ".tolerationSeconds",
        ),
    )

    key: str | None = Field(default=None, max_length=317, description="Of the taint; none: all.")
    operator: TolerationOperator | None = Field(
        default=None, description="Exists, or Equal (when not given)."
    )
    value: str | None = Field(default=None, max_length=63, description="Of the taint, for Equal.")
    effect: TaintEffect | None = Field(default=None, description="Of the taint; none: all.")
    toleration_seconds: int | None = Field(default=None, description="How long a NoExecute taint is borne.")


class Unsatisfiable(StrEnum):
    DO_NOT_SCHEDULE = "DoNotSchedule"
    SCHEDULE_ANYWAY = "ScheduleAnyway"


class TopologySpread(Model):
    max_skew: int = Field(ge=1, description="How much fuller one place may be than another.")
    topology_key: LabelKey = Field(description="Label of nodes; nodes with the same value are one place.")
    when_unsatisfiable: Unsatisfiable = Field(description="What to do when it cannot be met.")
    label_selector: LabelSelector | None = Field(
        default=None, description="The pods that are counted; else those of the same role and shard."
    )


class Resources(Model):
    """As of a container."""

    requests: dict[str, Quantity] = Field(
        default_factory=dict, max_length=16, description="What is set aside: cpu, memory, ..."
    )
    limits: dict[str, Quantity] = Field(
        default_factory=dict, max_length=16, description="What is not exceeded: cpu, memory, ..."
    )


class PodSettings(Model):
    """Of the pods of one role."""

    resources: Resources = Field(default_factory=Resources, description="CPU and memory of the container.")
    node_selector: Labels = Field(
        default_factory=dict,
        description="Labels that a node must have.",
        json_schema_extra=extra(_KEYS),
    )
    tolerations: tuple[Toleration, ...] = Field(
        default=(), max_length=32, description="Taints of nodes that the pods bear."
    )
    affinity: Affinity | None = Field(
        default=None, description="Where the pods go; replaces the operator's own preference."
    )
    topology_spread_constraints: tuple[TopologySpread, ...] = Field(
        default=(), max_length=8, description="How pods spread; replaces the operator's own rule."
    )
    priority_class_name: Name | None = Field(default=None, description="A PriorityClass.")
    pod_labels: Labels = Field(
        default_factory=dict,
        description="More labels of the pods.",
        json_schema_extra=extra(_KEYS, _OWN),
    )
    pod_annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(
        default_factory=dict,
        max_length=64,
        description="More annotations of the pods.",
        json_schema_extra=extra(_KEYS, _OWN),
    )
    service_account_name: Name | None = Field(
        default=None, description="A ServiceAccount that exists; else the operator makes one."
    )
