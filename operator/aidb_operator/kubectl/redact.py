"""What leaves a cluster in a report: no contents of Secrets and ConfigMaps, no values of environments,
nothing that is called like a password or looks like a key. Pure.
"""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "(hidden)"
_SUSPECT = re.compile(r"(?i)(password|passwd|secret-?key|access-?key|token|credential|private)")
# Names of secrets are no secrets.
_NAMES = frozenset({"secretName", "secretKeyRef", "credentialsSecret", "caSecret", "imagePullSecrets"})
_SPOKEN = re.compile(r"(?i)(bearer\s+|(?:token|password|secret)[=:]\s*)[^\s,;\"']+")
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)
# It has the whole object once more, as text.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_CONTENTS = ("data", "binaryData", "stringData")


def redacted(value: Any) -> Any:
    """A copy of an object."""
    if isinstance(value, list):
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


def text(content: str) -> str:
    """A log or a message without what looks like a token or a key."""
    return _SPOKEN.sub(lambda found: found[1] + HIDDEN, _PEM.sub(HIDDEN, content))


def _hides(name: str, value: Any) -> bool:
    if name == _LAST_APPLIED:
        return True
    return isinstance(value, str) and name not in _NAMES and _SUSPECT.search(name) is not None
