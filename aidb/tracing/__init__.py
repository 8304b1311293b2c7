"""OpenTelemetry, where it is there: `pip install 'aidb[otel]'`. Nothing here is imported before it is needed.

`spans` makes the client's spans in an application's own provider; `provider` makes one for programs, as
OpenTelemetry's environment variables say; `serving` makes a server's spans of gRPC calls in Python.
"""
