"""How a primary with a directory of its own becomes the next incarnation of a shard (D3, D6), beside the one
before it or in place of one that is gone: `become` goes through the order of D3, `asking` talks to the
coordinator, `turn` says from when the taker may serve. What it leaves is a directory that registers like any
other, with the epoch that was taken.
"""
