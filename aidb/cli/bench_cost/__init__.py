"""`aidb bench cost`: what a shard with its second copy in an object store keeps, sends and asks for, beside
three full copies of it on three nodes.
"""
