"""Who may connect and who may call what: mutual TLS by files, bearer tokens by their hashes, one table.

`material` is a TLS directory, `tokens` the file of tokens, `access` the judgement; `watch` reads files again
when they change. `server` holds them for a program, `client` for a client; `authority` makes certificates.
"""
