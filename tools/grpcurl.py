"""grpcurl, with which the README speaks gRPC.

python -m tools.grpcurl     # builds it below target/tools, unless there is one; needs Go
"""

from __future__ import annotations

import sys

from tools import go_program

SOURCE = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"

if __name__ == "__main__":
    sys.exit(go_program.install("grpcurl", SOURCE, "the README's block that calls it is"))
