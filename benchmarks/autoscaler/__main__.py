"""Runs the traces and draws them; see the package."""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

from benchmarks.autoscaler.picture import draw
from benchmarks.autoscaler.simulate import Moment, simulate
from benchmarks.autoscaler.traces import GENERATORS, committed


def main() -> None:
    parser = argparse.ArgumentParser(description="The autoscaler on traces of load, as pictures.")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="where the SVG files go")
    parser.add_argument("--seed", type=int, help="another seed for every trace (that of the documentation)")
    options = parser.parse_args()
    traces = committed()
    if options.seed is not None:
        traces = [generate(options.seed) for generate in GENERATORS.values()]
    options.to.mkdir(parents=True, exist_ok=True)
    for trace in traces:
        moments = simulate(trace)
        (options.to / f"{trace.name}.svg").write_text(draw(trace, moments))
        print(f"{trace.name} seed={trace.seed} {_summary(moments)}")


def _summary(moments: list[Moment]) -> str:
    steps = list(pairwise(moments))
    short = sum(moment.load.reads > moment.capacity[0] for moment in moments) / len(moments)
    changes = sum(
        before.replicas != after.replicas or before.shards != after.shards for before, after in steps
    )
    return (
        f"replicas={min(m.replicas for m in moments)}..{max(m.replicas for m in moments)} "
        f"shards={min(m.shards for m in moments)}..{max(m.shards for m in moments)} "
        f"changes={changes} overloaded={short:.1%}"
    )


if __name__ == "__main__":
    main()
