"""What primaries, replicas and routers are all started with."""

from __future__ import annotations

import math

from aidb_operator.api.pod import PodSettings
from aidb_operator.kubernetes.kinds import Raw
from aidb_operator.names import COORDINATOR_PORT, STORAGE_PORT
from aidb_operator.plan import pods, zones
from aidb_operator.plan.outcome import View

_ZONES_PATH = "/etc/aidb/zones"
MOUNTS: tuple[Raw, ...] = ({"name": "zones", "mountPath": _ZONES_PATH, "readOnly": True},)


def arguments(view: View) -> list[str]:
    """Who it is, and whom it reports to."""
    return [
        *("--coordinator", f"{view.names.coordinator}.{view.namespace}.svc:{COORDINATOR_PORT}"),
        *("--name", "$(POD_NAME)", "--node", "$(NODE_NAME)", "--zones", f"{_ZONES_PATH}/{zones.FILE}"),
        *("--listen", f"0.0.0.0:{STORAGE_PORT}", "--advertise", f"$(POD_IP):{STORAGE_PORT}"),
    ]


def threads(settings: PodSettings) -> list[str]:
    """One for each core that it may use; as many as the program uses by itself where nothing is said."""
    cores = pods.cores(settings)
    return [] if cores is None else ["--threads", str(max(1, math.ceil(cores)))]


def volumes(view: View) -> tuple[Raw, ...]:
    """Beside what every pod has. Without the file a node is in no zone: no reason not to start."""
    return ({"name": "zones", "configMap": {"name": view.names.zones, "optional": True}},)
