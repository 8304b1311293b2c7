"""What a pod's container is as a process: command, environment. Pure but for what it refers to.

`0.0.0.0` becomes the pod's address and a mount's path that of its directory, wherever an argument or a
variable begins with it; a Service's name becomes the address of its relay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Raw = dict[str, Any]
EVERYWHERE = "0.0.0.0:"
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


class NotYet(Exception):
    """Something that the pod needs is not there; the text says what. A kubelet waits."""


@dataclass(frozen=True)
class Source:
    """What a container refers to. Each raises NotYet."""

    secret: Callable[[str], Mapping[str, bytes]]
    config_map: Callable[[str], Mapping[str, bytes]]


@dataclass(frozen=True)
class Command:
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


def command(pod: Raw, source: Source, mounts: Mapping[str, Path], services: Mapping[str, str]) -> Command:
    """`mounts`: directories by path in the container. `services`: addresses by host name. Raises NotYet."""
    [container] = pod["spec"]["containers"]
    variables = _environment(pod, container, source)
    words = [
        _expanded(word, variables) for word in (*container.get("command", ()), *container.get("args", ()))
    ]
    address = pod["status"]["podIP"]
    return Command(
        tuple(_placed(word, address, mounts, services) for word in words),
        {name: _placed(text, address, mounts, services) for name, text in variables.items()},
    )


def _environment(pod: Raw, container: Raw, source: Source) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in container.get("env", ()):
        if "valueFrom" not in entry:
            found[entry["name"]] = _expanded(entry.get("value", ""), found)
            continue
        text = _referred(pod, entry["valueFrom"], source)
        if text is not None:
            found[entry["name"]] = text
    return found


def _referred(pod: Raw, reference: Raw, source: Source) -> str | None:
    if "fieldRef" in reference:
        return str(field(pod, reference["fieldRef"]["fieldPath"]))
    for kind, read in (("secretKeyRef", source.secret), ("configMapKeyRef", source.config_map)):
        if kind not in reference:
            continue
        name, key = reference[kind]["name"], reference[kind]["key"]
        try:
            return read(name)[key].decode()
        except (KeyError, NotYet):
            if reference[kind].get("optional"):
                return None
            raise NotYet(f"{kind} {name} has no key {key}") from None
    raise NotImplementedError(f"{reference}: no such source of a variable here")


def field(pod: Raw, path: str) -> Any:
    """Of the downward API: `metadata.labels['app']`, `status.podIP`, ..."""
    if keyed := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return pod["metadata"].get(keyed[1], {}).get(keyed[2], "")
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, "")
    return value


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    def one(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return _REFERENCE.sub(one, text)


def _placed(text: str, address: str, mounts: Mapping[str, Path], services: Mapping[str, str]) -> str:
    if text.startswith(EVERYWHERE):
        return f"{address}:{text[len(EVERYWHERE) :]}"
    for path in sorted(mounts, key=len, reverse=True):
        if text == path or text.startswith(f"{path}/"):
            return str(mounts[path]) + text[len(path) :]
    host, colon, port = text.rpartition(":")
    if not (colon and port.isdecimal()):
        return text
    if host in services:
        return f"{services[host]}:{port}"
    if host.endswith((".svc", ".svc.cluster.local")):
        raise NotYet(f"there is no Service {host}")
    return text


def service_names(name: str, namespace: str) -> tuple[str, ...]:
    """As pods of the namespace may call a Service."""
    return (
        name,
        f"{name}.{namespace}",
        f"{name}.{namespace}.svc",
        f"{name}.{namespace}.svc.cluster.local",
    )
