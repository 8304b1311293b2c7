"""`aidb bench engine`: the embedded engine and RocksDB, from Python, through the same workloads."""
