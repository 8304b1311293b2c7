"""Generated from `proto/aidb/v1` by `make gen`; not edited by hand."""
