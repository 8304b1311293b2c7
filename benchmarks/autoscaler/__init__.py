"""A simulator for the autoscaler: traces of load, a plant that answers as a cluster would, pictures of both.

python -m benchmarks.autoscaler --to docs/architecture/autoscaler [--seed N]
"""
