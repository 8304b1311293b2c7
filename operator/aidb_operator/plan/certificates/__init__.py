"""The authority, the certificates and the tokens of a cluster, as Secrets.

| Secret | holds | who reads it |
|---|---|---|
| c-ca | the authority that signs, its key, and every authority that is trusted | the operator alone |
| c-node-tls, c-coordinator-tls | ca.crt, tls.crt, tls.key of the programs | mounted by the programs |
| c-client-tls | the same of a client, and `token`, an administrator's | the operator, people |
| c-tokens | tokens.json: hashes of the tokens | mounted by the programs |

Programs read mounted files again each second, so nothing here restarts anything. Nothing is written when
nothing is due. A Secret of such a name that is not labelled as the operator's is somebody's own (of
cert-manager, say): it is used as it is, and never written.
"""
