"""Generates the Python code of the contracts: `generate_protobuf.py OUTPUT_DIR`.

Messages and service stubs with types (mypy-protobuf); files without a service get no `_grpc` half.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTO_ROOT = Path(__file__).resolve().parents[1] / "proto"
SERVICES = {"storage", "replication", "cluster", "node", "moving"}


def generate(output: Path) -> None:
    """Writes `<name>_pb2*.py*` of every contract into `output`.

    Raises RuntimeError when a contract does not compile.
    """
    sources = sorted((PROTO_ROOT / "aidb" / "v1").glob("*.proto"))
    scripts = Path(sysconfig.get_path("scripts"))
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [
            "protoc",
            f"--proto_path={PROTO_ROOT}",
            f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",  # google/protobuf/*.proto
            *(
                f"--plugin=protoc-gen-{plugin}={scripts / f'protoc-gen-{plugin}'}"
                for plugin in ("mypy", "mypy_grpc")
            ),
            *(f"--{kind}_out={scratch}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
            *map(str, sources),
        ]
        if protoc.main(arguments) != 0:
            raise RuntimeError("protoc refused the contracts; its message is above")
        output.mkdir(parents=True, exist_ok=True)
        for made in sorted((Path(scratch) / "aidb" / "v1").iterdir()):
            stem, _, half = made.name.partition("_pb2")
            if half.startswith("_grpc") and stem not in SERVICES:
                continue
            shutil.copyfile(made, output / made.name)


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
