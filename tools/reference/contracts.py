"""The contracts in proto/, with their comments: services, messages, enums."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2 as pb
from grpc_tools import protoc

from aidb.v1 import access_pb2
from tools.reference.cells import cell, table

PROTO = Path(__file__).resolve().parents[2] / "proto"
_HEAD = """# gRPC

Made by `make gen` from `proto/`. Everything is in package `aidb.v1`; all ports answer reflection to who may
call them. [`Storage`](../../proto/aidb/v1/storage.proto) is what users speak, to a router if they do not
route; what else there is are the programs' own affairs, and may change between versions. "Who": the least
[role](../security.md) that a secured cluster asks for.

"""
_KINDS = {value: key.removeprefix("TYPE_").lower() for key, value in pb.FieldDescriptorProto.Type.items()}
_FIRST = "storage.proto"


@dataclass(frozen=True, slots=True)
class Comments:
    """Of one file, by the path that descriptors use."""

    by_path: dict[tuple[int, ...], str]

    def of(self, *path: int) -> str:
        return self.by_path.get(path, "")


def page() -> str:
    files = sorted(_files(), key=lambda file: (not file.name.endswith(_FIRST), file.name))
    return _HEAD + "\n".join(part.rstrip() + "\n" for file in files for part in _file(file))


def _files() -> list[pb.FileDescriptorProto]:
    """Raises RuntimeError when a contract does not compile."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "descriptors"
        known = Path(grpc_tools.__file__).parent / "_proto"
        sources = sorted((PROTO / "aidb" / "v1").glob("*.proto"))
        options = [f"--proto_path={PROTO}", f"--proto_path={known}", "--include_source_info"]
        if protoc.main(["protoc", *options, f"--descriptor_set_out={made}", *map(str, sources)]) != 0:
            raise RuntimeError("protoc refused the contracts; its message is above")
        return list(pb.FileDescriptorSet.FromString(made.read_bytes()).file)


def _file(file: pb.FileDescriptorProto) -> Iterator[str]:
    comments = Comments(
        {
            tuple(place.path): " ".join(f"{place.leading_comments} {place.trailing_comments}".split())
            for place in file.source_code_info.location
        }
    )
    yield f"## {Path(file.name).name}\n"
    for number, service in enumerate(file.service):
        yield from _service(service, comments, (6, number))
    for number, enum in enumerate(file.enum_type):
        yield from _enum(enum, comments, (5, number), "")
    for number, message in enumerate(file.message_type):
        yield from _message(message, comments, (4, number), "")


def _service(service: pb.ServiceDescriptorProto, comments: Comments, path: tuple[int, ...]) -> Iterator[str]:
    yield f"### service {service.name}\n\n{comments.of(*path)}\n"
    rows = [
        (
            f"`{method.name}`",
            _streamed(method.client_streaming, method.input_type),
            _streamed(method.server_streaming, method.output_type),
            _access(method),
            cell(comments.of(*path, 2, number)),
        )
        for number, method in enumerate(service.method)
    ]
    yield table(("method", "takes", "gives", "who", ""), rows)


def _access(method: pb.MethodDescriptorProto) -> str:
    level = method.options.Extensions[access_pb2.access]
    return str(access_pb2.Access.Name(level)).removeprefix("ACCESS_").lower()


def _streamed(streams: bool, kind: str) -> str:
    return f"{'stream of ' if streams else ''}{_named(kind)}"


def _message(
    message: pb.DescriptorProto, comments: Comments, path: tuple[int, ...], outer: str
) -> Iterator[str]:
    if message.options.map_entry:
        return
    name = f"{outer}{message.name}"
    yield f"### {name}\n\n{comments.of(*path)}\n"
    maps = {f".aidb.v1.{name}.{one.name}": one for one in message.nested_type if one.options.map_entry}
    rows = [
        (
            str(field.number),
            f"`{field.name}`",
            _type(field, maps),
            cell(f"{_alternative(message, field)} {comments.of(*path, 2, number)}"),
        )
        for number, field in enumerate(message.field)
    ]
    if rows:
        yield table(("", "field", "type", ""), rows)
    for number, enum in enumerate(message.enum_type):
        yield from _enum(enum, comments, (*path, 4, number), f"{name}.")
    for number, inner in enumerate(message.nested_type):
        yield from _message(inner, comments, (*path, 3, number), f"{name}.")


def _alternative(message: pb.DescriptorProto, field: pb.FieldDescriptorProto) -> str:
    if field.proto3_optional:
        return "Optional."
    if field.HasField("oneof_index"):
        return f"One of `{message.oneof_decl[field.oneof_index].name}`."
    return ""


def _type(field: pb.FieldDescriptorProto, maps: dict[str, pb.DescriptorProto]) -> str:
    if (entry := maps.get(field.type_name)) is not None:
        key, value = entry.field
        return f"map of {_type(key, {})} to {_type(value, {})}"
    kind = _named(field.type_name) if field.type_name else _KINDS[field.type]
    return f"{kind} [ ]" if field.label == pb.FieldDescriptorProto.LABEL_REPEATED else kind


def _named(kind: str) -> str:
    """With a link, if it is ours."""
    ours = kind.removeprefix(".aidb.v1.")
    return f"[{ours}](#{ours.lower().replace('.', '')})" if ours != kind else kind.removeprefix(".")


def _enum(
    enum: pb.EnumDescriptorProto, comments: Comments, path: tuple[int, ...], outer: str
) -> Iterator[str]:
    yield f"### {outer}{enum.name}\n\n{comments.of(*path)}\n"
    rows = [
        (str(value.number), f"`{value.name}`", cell(comments.of(*path, 2, number)))
        for number, value in enumerate(enum.value)
    ]
    yield table(("", "value", ""), rows)
