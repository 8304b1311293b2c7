"""The gRPC face of `control`: decodes, limits, encodes; decides nothing.

grpc.aio, not threads: a watcher is a coroutine and not one thread of a pool, and one event loop makes the
state single-owner.
"""
