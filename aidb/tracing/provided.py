"""The provider that the application has set up, if it has.

Who has not imported OpenTelemetry cannot have set it up: so it is not imported here either, and without it a
call costs a look into a dictionary.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

SCOPE = "aidb"


def tracer() -> Tracer | None:
    """None: there is no provider."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return None
    provider = api.get_tracer_provider()
    if isinstance(provider, api.ProxyTracerProvider | api.NoOpTracerProvider):
        return None
    found: Tracer = provider.get_tracer(SCOPE)
    return found
