"""Brings a cluster to another number of shards, as an administrator does."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.evidence.status import status

_TOOL = Path(sys.executable).with_name("aidb-admin")


def reshape(address: str, shards: int, rng: random.Random, seconds: float) -> dict[str, Any]:
    """Adds shards, or removes some, whichever; what the operation was, when it is done. Raises
    CalledProcessError, TimeoutExpired.
    """
    answer = status(address)
    assert answer is not None, f"the coordinator at {address} does not answer"
    there = [shard.id for shard in answer.shards]
    if shards > len(there):
        asked = ["add-shard", "--count", str(shards - len(there))]
    else:
        gone = rng.sample(there, len(there) - shards)
        asked = ["remove-shard", *(word for shard in gone for word in ("--shard", str(shard)))]
    command = [str(_TOOL), *asked, "--address", address, "--yes", "-o", "json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=seconds)
    operation: dict[str, Any] = json.loads(done.stdout)
    return operation
