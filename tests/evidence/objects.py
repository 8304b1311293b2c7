"""`make evidence-objects`: every test of object stores, against a real S3 server too, which is installed
if need be (a Go compiler and some minutes are needed then).
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.objects import versitygw


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="repetitions")
    parser.add_argument("--seed", type=int, default=1, help="(these tests draw nothing)")
    options = parser.parse_args()
    print(f"S3 server: {versitygw.install()}", flush=True)
    for _ in range(options.rounds):
        code = subprocess.run([sys.executable, "-m", "pytest", "tests/objects", "-q"], check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
