"""How programs reach the object store: a URL, and the environment that its credentials come in."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from aidb_operator.api.object_store import Bucket
from aidb_operator.kubernetes.kinds import Raw

AUTHORITY_PATH = "/etc/aidb/object-store"


@dataclass(frozen=True, slots=True)
class Access:
    """What a container needs beside the URL."""

    env: tuple[Raw, ...] = ()
    volumes: tuple[Raw, ...] = ()
    mounts: tuple[Raw, ...] = ()


def url(bucket: Bucket) -> str:
    """As `aidb.objects.location` reads it."""
    options = {
        name: value for name, value in (("endpoint", bucket.endpoint), ("region", bucket.region)) if value
    }
    return bucket.url.rstrip("/") + (f"?{urlencode(options, safe=':/')}" if options else "")


def access(bucket: Bucket | None) -> Access:
    """Secrets go by reference: they are in no pod template."""
    if bucket is None:
        return Access()
    env: list[Raw] = []
    if bucket.credentials_secret is not None:
        for variable, key in (("AWS_ACCESS_KEY_ID", "access-key"), ("AWS_SECRET_ACCESS_KEY", "secret-key")):
            reference = {"name": bucket.credentials_secret, "key": key}
            env.append({"name": variable, "valueFrom": {"secretKeyRef": reference}})
    if bucket.ca_secret is None:
        return Access(tuple(env))
    env.append({"name": "AWS_CA_BUNDLE", "value": f"{AUTHORITY_PATH}/ca.crt"})
    items = [{"key": "ca.crt", "path": "ca.crt"}]
    volume = {"name": "object-store-ca", "secret": {"secretName": bucket.ca_secret, "items": items}}
    mount = {"name": "object-store-ca", "mountPath": AUTHORITY_PATH, "readOnly": True}
    return Access(tuple(env), (volume,), (mount,))
