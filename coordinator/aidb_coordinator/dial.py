"""How the coordinator reaches members: plainly, or with its certificate and a look at theirs."""

from __future__ import annotations

from collections.abc import Sequence

import grpc

from aidb.security.material import Material
from aidb.security.server import ServerSecurity


class Dialer:
    """Channels by what the security says now; one made before a change goes on with what it was given."""

    def __init__(self, security: ServerSecurity | None) -> None:
        self._security = security

    @property
    def material(self) -> Material | None:
        """What channels are made of now; None: nothing, they are plain."""
        return None if self._security is None else self._security.material

    def channel(self, address: str, options: Sequence[tuple[str, int]]) -> grpc.aio.Channel:
        if self._security is None:
            return grpc.aio.insecure_channel(address, options=options)
        material = self._security.material
        credentials = grpc.ssl_channel_credentials(material.ca, material.key, material.certificate)
        named = [*options, ("grpc.ssl_target_name_override", f"node.{self._security.domain}")]
        return grpc.aio.secure_channel(address, credentials, options=named)
