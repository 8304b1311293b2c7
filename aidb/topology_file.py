"""The topology as a coordinator keeps it: `topology.json`, or the Kubernetes object that stands for it.

    format 1   {"format":1,"magic":"aidb-topology","revision":N,"sha256":"...","topology":{...}}
    format 2   {"cluster_uid":"...","format":2,"magic":"aidb-topology","revision":N,"sha256":"...",
                "shards":N,"term":N,"version":N,"deflated":"..."}

JSON with sorted keys and without spaces, and a newline. Format 1 is for people: any JSON tool shows all of
it. It is written while the protobuf message has at most `READABLE_BYTES`. Larger ones go into format 2:
``deflated`` is the message in base64 after zlib, and what stands before it are copies for whoever looks at
the file's begin; `aidb-admin topology show` prints all of it. Format 2 keeps 1,000 shards under 1 MB whatever
has moved, and takes a quarter of the time, which is in the pause of every move of a slot (M6-M8).

sha256 is over "<revision> " and the canonical JSON of ``topology``, or the text of ``deflated``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aidb.v1 import cluster_pb2 as pb

MAGIC = "aidb-topology"
READABLE, COMPACT = 1, 2
READABLE_BYTES = 64 * 1024
# Of a message out of a file: a damaged or foreign one is no reason to use up the memory.
_MOST_BYTES = 64 << 20
_LEVEL = 6


class Unreadable(ValueError):
    """Says what is wrong with the content, as the end of a sentence about the file."""


class Damaged(Unreadable):
    """It was a topology once."""


def seal(message: pb.Topology, revision: int) -> bytes:
    """The content of the file."""
    encoded = message.SerializeToString(deterministic=True)
    if len(encoded) <= READABLE_BYTES:
        from google.protobuf import json_format

        body = canonical(json_format.MessageToDict(message, preserving_proto_field_name=True))
        return _with_body(_head(READABLE, revision, body), "topology", body)
    text = base64.b64encode(zlib.compress(encoded, _LEVEL))
    head = _head(COMPACT, revision, text) | _copies(message)
    return _with_body(head, "deflated", b'"' + text + b'"')


def unseal(content: bytes) -> tuple[dict[str, Any] | pb.Topology, int]:
    """The topology, as protobuf or in protobuf's JSON form, and its revision. Raises Unreadable."""
    try:
        found = json.loads(content)
        if not isinstance(found, dict) or found.get("magic") != MAGIC:
            raise Unreadable("is not a topology of AiDb: name the coordinator's data directory")
        revision = found["revision"]
        match found["format"]:
            case 1:
                body: dict[str, Any] = found["topology"]
                _check(found, revision, canonical(body))
                if not isinstance(body, dict):
                    raise Damaged("is damaged: its topology is none")
                return body, revision
            case 2:
                text = found["deflated"].encode()
                _check(found, revision, text)
                return _inflated(found, text), revision
        raise Unreadable(
            f"has format {found['format']}, this version reads {READABLE} and {COMPACT}: start a newer one"
        )
    except Unreadable:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"is damaged: {error}") from error


def canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def checksum(revision: int, body: bytes) -> str:
    return hashlib.sha256(b"%d %b" % (revision, body)).hexdigest()


def _head(format_: int, revision: int, body: bytes) -> dict[str, Any]:
    return {"format": format_, "magic": MAGIC, "revision": revision, "sha256": checksum(revision, body)}


def _with_body(head: dict[str, Any], name: str, body: bytes) -> bytes:
    return canonical(head)[:-1] + b',"' + name.encode() + b'":' + body + b"}\n"


def _copies(message: pb.Topology) -> dict[str, Any]:
    return {
        "cluster_uid": message.cluster_uid,
        "shards": len(message.shards),
        "term": message.term,
        "version": message.version,
    }


def _check(found: dict[str, Any], revision: int, body: bytes) -> None:
    if checksum(revision, body) != found["sha256"]:
        raise Damaged("is damaged, its checksum differs")


def _inflated(found: dict[str, Any], text: bytes) -> pb.Topology:
    from google.protobuf.message import DecodeError

    from aidb.v1 import cluster_pb2 as pb

    try:
        encoded = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
        message = pb.Topology.FromString(encoded)
    except (zlib.error, DecodeError) as error:
        raise Damaged(f"is damaged: {error}") from error
    if any(found[name] != value for name, value in _copies(message).items()):
        raise Damaged("is damaged: what stands before the document contradicts it")
    return message
