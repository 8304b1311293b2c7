"""Changes of the cluster's shape, as durable operations: shards and replicas come and go, slots are evened.

    requests.accept -> Operation -> steps.next_action -> manager.Manager carries it out -> ... -> done

`steps` is pure and decides by what is there: the operation, the topology, what the provisioner has. So a
coordinator that died anywhere goes on where things are, and every action may be carried out twice.
"""

from __future__ import annotations
