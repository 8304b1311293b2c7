//! What the primary's streams to its replicas have in common: how one begins, and what ends it.

use std::sync::Arc;

use aidb_client::error::refuse;
use aidb_client::pb::ErrorCode;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::serve::Node;

/// What the client begins with, by `greeting` out of its first message; `name` is how that is called.
pub async fn opening<Ask, Hello>(
    node: &Node,
    asks: &mut Streaming<Ask>,
    name: &str,
    greeting: impl FnOnce(Ask) -> Option<Hello>,
) -> Result<Hello, Status> {
    let first = tokio::time::timeout(node.limits.patience, asks.message());
    let first = first.await.map_err(|_| {
        let message = format!("a subscription begins with {name}, and none came in time");
        refuse(ErrorCode::DeadlineExceeded, message)
    })??;
    first.and_then(greeting).ok_or_else(|| {
        let message = format!("a subscription begins with {name}");
        refuse(ErrorCode::InvalidArgument, message)
    })
}

/// Does `run`, which feeds `sender`, until it ends, the node stops or the client has gone.
pub fn spawn<Tell: Send + 'static>(
    node: Arc<Node>,
    sender: mpsc::Sender<Result<Tell, Status>>,
    run: impl Future<Output = Result<(), Status>> + Send + 'static,
) {
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = run => ended,
            () = node.stopping() => Err(refuse(ErrorCode::ShuttingDown, "this primary is shutting down")),
            () = sender.closed() => return,
        };
        if let Err(why) = ended {
            // The queue may be full of records that nobody reads: then the end of the stream has to do.
            let _ = sender.try_send(Err(why));
        }
    });
}
