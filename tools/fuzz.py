"""Fuzzes the decoders (node/fuzz), each target for some seconds of CPU time, and sums up.

``python tools/fuzz.py --seconds 600 [target ...]``. What is found stays in target/fuzz/artifacts; the corpora
grow in target/fuzz/corpus, beginning with the committed ones. A crash is fixed with its input added to the
committed corpus, which ordinary tests replay.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUZZ = ROOT / "node/fuzz"
WORK = ROOT / "target/fuzz"
TICKS = os.sysconf("SC_CLK_TCK")
# An input may take no longer, nor more memory.
INPUT_SECONDS, MEMORY_MIB = 10, 1024
MAX_INPUT_BYTES = 4096


def targets() -> list[str]:
    return sorted(path.stem for path in (FUZZ / "fuzz_targets").glob("*.rs"))


def build() -> None:
    # The decoders hold no unsafe code: without a sanitizer they run several times faster.
    command = ["cargo", "+nightly", "fuzz", "build", "--sanitizer", "none", "--target-dir", str(WORK)]
    subprocess.run(command, cwd=FUZZ.parent, check=True)


def program(target: str) -> Path:
    return next(WORK.glob(f"*/release/{target}"))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def fuzz(target: str, seconds: float, seed: int) -> bool:
    """Prints the sum of one target; true when nothing was found."""
    corpus, artifacts = WORK / "corpus" / target, WORK / "artifacts" / target
    corpus.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(artifacts, ignore_errors=True)
    artifacts.mkdir(parents=True)
    command = [
        str(program(target)),
        str(corpus),
        str(FUZZ / "corpus" / target),
        f"-artifact_prefix={artifacts}/",
        f"-seed={seed}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-malloc_limit_mb={MEMORY_MIB // 2}",
        "-print_final_stats=1",
    ]
    log = WORK / f"{target}.log"
    with log.open("w") as output:
        running = subprocess.Popen(command, stdout=output, stderr=output)
        spent = 0.0
        while running.poll() is None and spent < seconds:
            time.sleep(0.2)
            try:
                spent = cpu_seconds(running.pid)
            except OSError:
                break
        if running.poll() is None:
            running.send_signal(signal.SIGINT)
        running.wait()
    text = log.read_text(errors="replace")
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", text) or [("0", "0", "0")]
    executed = re.findall(r"(?:number_of_executed_units: |^#)(\d+)", text, re.MULTILINE)
    crashes = sorted(path for path in artifacts.iterdir() if not path.name.startswith("slow-unit"))
    coverage, features, inputs = covered[-1]
    print(
        f"fuzz {target} cpu_seconds={spent:.0f} executions={executed[-1] if executed else 0} "
        f"coverage={coverage} features={features} corpus={inputs} crashes={len(crashes)}",
        flush=True,
    )
    for crash in crashes:
        print(f"  {crash.relative_to(ROOT)}; see {log.relative_to(ROOT)}", flush=True)
    return not crashes and executed != []


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tools/fuzz.py")
    parser.add_argument("--seconds", type=float, default=60, help="of CPU time for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("targets", nargs="*", default=targets())
    asked = parser.parse_args()
    build()
    sound = [fuzz(target, asked.seconds, asked.seed) for target in asked.targets]
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())
