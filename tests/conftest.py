from __future__ import annotations

from hypothesis import HealthCheck, settings

# Time asserts nothing here: on a busy machine, and at the first run of a clone, drawing is slow.
settings.register_profile(
    "aidb", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("aidb")
