//! Discovery, answered by every node from its copy: any address of the cluster is a way in.

use std::pin::Pin;
use std::sync::Arc;

use aidb_client::error::refuse;
use aidb_client::pb::discovery_server::Discovery;
use aidb_client::pb::{self, ErrorCode};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::admission::busy;
use super::node::Node;
use super::origin::Origin;
use super::topology::View;

pub struct DiscoveryService {
    pub node: Arc<Node>,
}

fn known(view: &View, asked: &pb::GetTopologyRequest) -> Result<pb::ClusterView, Status> {
    if view.version() == 0 {
        return Err(refuse(
            ErrorCode::Starting,
            "this node has not registered yet; retry in a moment",
        ));
    }
    if !asked.cluster_uid.is_empty() && asked.cluster_uid != view.cluster_uid() {
        let message = format!(
            "this is cluster {}, not {}: check the address",
            view.cluster_uid(),
            asked.cluster_uid
        );
        return Err(refuse(ErrorCode::WrongCluster, message));
    }
    Ok(view.cluster.clone())
}

#[tonic::async_trait]
impl Discovery for DiscoveryService {
    async fn get_topology(
        &self,
        request: Request<pb::GetTopologyRequest>,
    ) -> Result<Response<pb::ClusterView>, Status> {
        known(&self.node.topology.view(), request.get_ref()).map(Response::new)
    }

    type WatchTopologyStream = Pin<Box<dyn Stream<Item = Result<pb::ClusterView, Status>> + Send>>;

    async fn watch_topology(
        &self,
        request: Request<pb::GetTopologyRequest>,
    ) -> Result<Response<Self::WatchTopologyStream>, Status> {
        let place = self.node.places.watchers.take(Origin::of(&request).peer);
        let asked = request.into_inner();
        known(&self.node.topology.view(), &asked)?;
        let place = place.ok_or_else(|| busy("all watches of the topology are taken"))?;
        let node = Arc::clone(&self.node);
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let _place = place;
            let mut views = node.topology.watch();
            loop {
                tokio::select! {
                    changed = views.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                    () = node.stopping() => return,
                }
                let view = views.borrow_and_update().cluster.clone();
                tokio::select! {
                    sent = sender.send(Ok(view)) => if sent.is_err() { return },
                    () = node.stopping() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
