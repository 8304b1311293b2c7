"""What the classes of the API are made of.

A class is read from what the API server gives (camelCase, unknown fields left alone: a newer version may have
written them) and its JSON schema, with the rules it carries, becomes the CRD's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL rule of the object or the field that carries it; `oldSelf` in it makes it one of changes."""

    rule: str
    message: str
    field: str = ""
    """Whose fault it is, a path such as `.replicas`; of the object itself when empty."""
    optional_old: bool = False
    """Judged at creation too: `oldSelf` is an optional then."""

    def schema(self) -> dict[str, object]:
        made: dict[str, object] = {"rule": self.rule, "message": self.message}
        if self.field:
            made["fieldPath"] = self.field
        if self.optional_old:
            made["optionalOldSelf"] = True
        return made


class Model(BaseModel):
    """One object of the API, or a part of one. Values are frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, serialize_by_alias=True
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        if cls.rules:
            schema["x-kubernetes-validations"] = [rule.schema() for rule in cls.rules]
        return schema


def group(kind: type[Model], description: str) -> Any:
    """A part that is there, with its defaults, when nobody gave it.

    The default is written out: rules are judged on it before its own fields have theirs.
    """
    default = _without_empty(kind().model_dump(mode="json", exclude_none=True))
    return Field(default_factory=kind, description=description, json_schema_extra={"default": default})


def _without_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _without_empty(one) for key, one in value.items()}
    return {key: one for key, one in inner.items() if one not in ([], {})}


def extra(*rules: Rule, **schema: object) -> dict[str, Any]:
    """What a field's schema has beside its type."""
    made: dict[str, Any] = dict(schema)
    if rules:
        made["x-kubernetes-validations"] = [rule.schema() for rule in rules]
    return made


def list_map(*keys: str) -> dict[str, Any]:
    """Of a list whose items server-side apply tells apart by `keys`."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


class Metadata(Model):
    """What the operator reads of an object's metadata."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()


class Resource(Model):
    """An object of its own: what all kinds have."""

    plural: ClassVar[str]
    name_most: ClassVar[int] = 63
    """Characters of metadata.name: names and labels of other objects are made of it."""

    metadata: Metadata = Field(default_factory=Metadata)

    @classmethod
    def of(cls, body: Any) -> Self:
        """Raises pydantic.ValidationError; `validation.problems` says it in words."""
        return cls.model_validate(body)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def deleting(self) -> bool:
        return self.metadata.deletion_timestamp is not None
