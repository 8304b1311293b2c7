"""What leaves a cluster in a report: no contents of Secrets and ConfigMaps, no values of environments,
nothing that is called like a password or looks like a key, no bytes of messages, where users' keys are. Pure.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

HIDDEN = "(hidden)"
_SUSPECT = re.compile(r"(?i)(password|passwd|secret-?_?key|access-?_?key|token|credential|private)")
# Names of secrets are no secrets.
_NAMES = frozenset({"secretName", "secretKeyRef", "credentialsSecret", "caSecret", "imagePullSecrets"})
_CALLED = r"(?:token|password|passwd|secret|credentials?|access[_-]?key(?:[_-]?id)?)"
_SPOKEN = re.compile(rf"(?i)(bearer\s+|{_CALLED}[\"']?[ \t]*[=:][ \t]*[\"']?)[^\s,;\"'}}]+")
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)
# A token of AiDb, and a key id of AWS, wherever they stand; a user in a URL.
_LOOKS = re.compile(r"\baidb_[\w-]{20,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")
_USER = re.compile(r"(://)[^/\s:@]+:[^/\s@]+@")
# It has the whole object once more, as text.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_CONTENTS = ("data", "binaryData", "stringData")
# Shorter ones would blank out innocent text.
_LEAST_KNOWN = 6


def redacted(value: Any) -> Any:
    """A copy of an object."""
    if isinstance(value, list | tuple):
        return [redacted(one) for one in value]
    if isinstance(value, str):
        return text(value)
    if not isinstance(value, dict):
        return value
    of_contents = value.get("kind") in ("Secret", "ConfigMap")
    # A variable of a container's environment: people put secrets there.
    variable = set(value) == {"name", "value"}
    return {
        name: HIDDEN
        if (of_contents and name in _CONTENTS) or (variable and name == "value") or _hides(name, one)
        else redacted(one)
        for name, one in value.items()
        if name != "managedFields"
    }


def text(content: str, known: frozenset[str] = frozenset()) -> str:
    """A log or a message without what looks like a token or a key, and without ``known`` secrets."""
    return _SPOKEN.sub(lambda found: found[1] + HIDDEN, unmistakable(content, known))


def unmistakable(content: str, known: frozenset[str] = frozenset()) -> str:
    """As `text`, for what went through `redacted`: names of members say nothing any more."""
    for secret in known:
        if len(secret) >= _LEAST_KNOWN:
            content = content.replace(secret, HIDDEN)
    return _USER.sub(rf"\1{HIDDEN}@", _LOOKS.sub(HIDDEN, _PEM.sub(HIDDEN, content)))


def without_bytes(message: M) -> M:
    """A copy without fields of bytes, however deep they are: keys and values are such, and tokens."""
    copy = type(message)()
    copy.CopyFrom(message)
    _strip(copy)
    return copy


def _strip(message: Message) -> None:
    for field, value in message.ListFields():
        if field.type == field.TYPE_BYTES:
            message.ClearField(field.name)
        elif field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        elif field.is_repeated:
            for one in value:
                _strip(one)
        else:
            _strip(value)


def _hides(name: str, value: Any) -> bool:
    if name == _LAST_APPLIED:
        return True
    return isinstance(value, str) and name not in _NAMES and _SUSPECT.search(name) is not None
