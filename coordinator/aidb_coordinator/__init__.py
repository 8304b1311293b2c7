"""The coordinator: owns the placement of data. It decides from one document, the topology, and is in no
request's way.

Pure parts (no I/O): `topology`, `ring`, `placement`, `rebalance`, `registration`, `leases`, `clocks`,
`health`, `autoscaler`.
Thin I/O around them: `store`, `events`, `probes`, `service`. `control` holds the state and applies the pure
parts to it.
"""

import os

# Before gRPC is loaded: what its core says of callers' mistakes is no record of our log, and as much as they
# like. What concerns us comes as an exception.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
