"""What lies in the object store, and what follows from it (rules D): names, formats, lineage, and the
plans of snapshots, retention and restores. All of it is pure but for `catalog`, which reads a store, and
`verification`.
"""
