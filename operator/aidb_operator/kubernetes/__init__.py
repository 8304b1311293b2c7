"""The API server: kinds, calls, what the watches have seen."""
