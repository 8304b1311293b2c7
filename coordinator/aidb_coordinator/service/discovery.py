"""Discovery: the current view, and every change of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aidb import errors
from aidb.v1 import cluster_pb2 as pb
from aidb.v1 import cluster_pb2_grpc as rpc
from aidb_coordinator.control import Control
from aidb_coordinator.service.answers import Context, answers, refuse
from aidb_coordinator.service.views import ClusterViews


class Discovery(rpc.DiscoveryServicer):
    def __init__(self, control: Control, views: ClusterViews) -> None:
        self._control = control
        self._views = views
        self._watchers = 0
        self._closing = False

    @answers
    async def GetTopology(self, request: pb.GetTopologyRequest, context: Context) -> pb.ClusterView:
        self._check_cluster(request)
        return self._views.current()

    async def WatchTopology(
        self, request: pb.GetTopologyRequest, context: Context
    ) -> AsyncIterator[pb.ClusterView]:
        """The view at once, then the newest after each change; a reader that is slow misses those between."""
        limit = self._control.settings.max_watchers
        try:
            self._check_cluster(request)
            if self._watchers >= limit:
                raise errors.Busy(
                    f"{limit} watchers are open already: watch at a node instead", retry_after=1.0
                )
        except errors.AidbError as error:
            await refuse(context, error)
        self._watchers += 1
        try:
            sent: tuple[int, int] | None = None
            while not self._closing:
                changed = self._control.changed.next
                if sent != self._control.view_key:
                    sent = self._control.view_key
                    yield self._views.current()
                else:
                    await changed.wait()
        finally:
            self._watchers -= 1
        await refuse(context, errors.ShuttingDown("the coordinator stops: watch again"))

    def close(self) -> None:
        """Ends the open streams."""
        self._closing = True
        self._control.changed.notify()

    def _check_cluster(self, request: pb.GetTopologyRequest) -> None:
        uid = self._control.topology.cluster_uid
        if request.cluster_uid and request.cluster_uid != uid:
            raise errors.WrongCluster(f"this is cluster {uid}, not {request.cluster_uid}: check the address")
