"""What a Secret that was written is when it is read again, and certificates as people look at them."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from aidb_operator.plan.certificates.planning import Plan
from cryptography import x509

Raw = dict[str, Any]


def stored(secrets: dict[str, Raw], plan: Plan) -> dict[str, Raw]:
    """The Secrets after the plan was carried out."""
    written = {
        one["metadata"]["name"]: {**one, "metadata": {**one["metadata"], "resourceVersion": "7"}}
        for one in plan.write
    }
    return {**secrets, **written}


def content(secret: Raw, key: str) -> bytes:
    return base64.b64decode(secret["data"][key])


def certificate(secret: Raw, key: str = "tls.crt") -> x509.Certificate:
    return x509.load_pem_x509_certificate(content(secret, key))


def trusted(secret: Raw) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(content(secret, "ca.crt"))


def verifies(server: Raw, client: Raw, when: datetime) -> bool:
    """Whether who has `client` accepts who shows `server`."""
    shown = certificate(server)
    if not shown.not_valid_before_utc <= when <= shown.not_valid_after_utc:
        return False
    return any(_issued(one, shown) for one in trusted(client))


def _issued(issuer: x509.Certificate, shown: x509.Certificate) -> bool:
    try:
        shown.verify_directly_issued_by(issuer)
    except Exception:
        return False
    return True
