"""Who may call what, where security is on: every method of every service, on every port. Its tests
(tests/security/test_access.py) call all of it, as everybody, and compare with `allowed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from aidb.security.access import CONTRACTS, required
from aidb.security.tokens import ROLES
from aidb.v1 import access_pb2
from tools.reference.cells import cell, table

NODES = ("primary", "replica", "router")
EVERY = ("coordinator", *NODES)
SERVED_BY: dict[str, tuple[str, ...]] = {
    "aidb.v1.Storage": NODES,
    "aidb.v1.Replication": ("primary",),
    "aidb.v1.Moving": ("primary",),
    "aidb.v1.Tail": ("replica",),
    "aidb.v1.Node": NODES,
    "aidb.v1.Discovery": EVERY,
    "aidb.v1.Coordination": ("coordinator",),
    "grpc.health.v1.Health": EVERY,
    "grpc.reflection.v1alpha.ServerReflection": EVERY,
    "grpc.reflection.v1.ServerReflection": NODES,
}
CERTIFICATE, PROGRAM = "certificate", "program"
CALLERS = ("nobody", CERTIFICATE, *ROLES, PROGRAM)
# Of messages that reach for keys: where a token is limited, it is asked for these.
REACHING = ("Get", "Put", "Delete", "BatchGet", "BatchPut", "Scan", "Watch")
# An addition to health checks that no program has.
_NOT_IMPLEMENTED = "grpc.health.v1.Health/List"

_HEAD = """# Access

Made by `make gen` from the option `access` of each method in `proto/`; `tests/security/test_access.py` calls
every method on every port of a secured cluster as each of these callers, and compares. The columns:

- **nobody**: without TLS, or without a certificate of the cluster's authority. No port but the plain one
  for health (`--health-listen`), which answers `grpc.health.v1.Health` and nothing else, lets them in.
- **certificate**: a client with a certificate and no token, or with one that is unknown, revoked or expired.
- **monitor** to **admin**: a client with a token of that [role](../security.md#tokens-and-roles).
- **program**: a certificate of a node or a coordinator.

"Keys": a token that is limited is let in only for what lies
[within its keyspaces and prefixes](../security.md#limited-to-keyspaces-and-prefixes); each request of a
`Pipeline` is judged as if it had come alone. A method that no table knows is for administrators.

"""


@dataclass(frozen=True, slots=True)
class Method:
    service: str
    name: str
    streams: bool

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"

    @property
    def reaching(self) -> bool:
        return self.service == "aidb.v1.Storage" and self.name in REACHING


def methods() -> Iterator[Method]:
    """By the descriptors; of reflection, in both of its versions."""
    for contract in (*CONTRACTS, health_pb2, reflection_pb2):
        for service in contract.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if f"{service.full_name}/{method.name}" == _NOT_IMPLEMENTED:
                    continue
                streams = bool(method.client_streaming or method.server_streaming)
                yield Method(service.full_name, method.name, streams)
                if "v1alpha" in service.full_name:
                    yield Method(service.full_name.replace("v1alpha", "v1"), method.name, streams)


def allowed(method: Method, caller: str) -> bool:
    """Whether the call is let in, on the port that demands certificates."""
    if caller == "nobody":
        return False
    level = required(method.path)
    if level is None or caller == PROGRAM:
        return True
    return caller != CERTIFICATE and ROLES[caller] >= level


def page() -> str:
    return _HEAD + _methods() + _ports()


def _methods() -> str:
    rows = []
    for method in methods():
        ports = SERVED_BY[method.service]
        served = "all" if ports == EVERY else ", ".join(ports)
        marks = ["yes" if allowed(method, caller) else "" for caller in CALLERS]
        rows.append((f"`{cell(method.path[1:])}`", served, *marks, "yes" if method.reaching else ""))
    return table(("method", "served by", *CALLERS, "keys"), rows)


def _ports() -> str:
    metrics = access_pb2.Access.Name(access_pb2.ACCESS_MONITOR).removeprefix("ACCESS_").lower()
    return f"""
Other ports: `/metrics` (HTTPS) is for `{metrics}` and above and for programs; the plain port for health is
for everybody.
"""
