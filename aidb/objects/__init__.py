"""Object stores: the second copy of the data lives in one.

`store.ObjectStore` is the interface; `file` (a directory) and `s3` implement it with one attempt a call;
`retrying` adds patience; `probe` finds out what a store really does, `unfenced` is for those that do too
little; `opening` puts them together from a URL. Only creating if absent is asked of a store, so that every
one of S3's family will do.
"""
