//! `Pipeline`: many requests on one stream, answered in any order, each by the handler of its unary call. What a unary
//! call pays for its own HTTP/2 stream and headers is paid once.
//!
//! Bounded: `INSIDE` requests of a stream are worked on at a time; while they are, the stream is not read, and flow
//! control holds the client back. A request counts, is limited and drained as if it had come alone. The stream ends when
//! the client has ended its side and all is answered, or when the node stops.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use aidb_client::error::{error, refuse, reported};
use aidb_client::pb::pipeline_request::Request as Asked;
use aidb_client::pb::pipeline_response::Response as Answered;
use aidb_client::pb::storage_server::Storage;
use aidb_client::pb::{self, ErrorCode};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::admission::busy;
use super::answers::{Collecting, Parcel};
use super::node::{Node, peer_of};
use super::security::Caller;
use super::shares::PEER;

const INSIDE: usize = 256;

type Answers = Pin<Box<dyn Stream<Item = Result<pb::PipelineResponse, Status>> + Send>>;
/// With what it was admitted with, which is held until it has left.
type Answer = Result<(pb::PipelineResponse, Parcel), Status>;

/// The answers to `requests` by `service`.
pub fn pipeline<S: Storage>(
    service: S,
    node: &Arc<Node>,
    requests: Request<Streaming<pb::PipelineRequest>>,
) -> Result<Answers, Status> {
    let peer = peer_of(&requests);
    let caller = requests.extensions().get::<Caller>().cloned();
    let place = node
        .places
        .pipelines
        .take(peer)
        .ok_or_else(|| busy("all pipelines are taken"))?;
    let requests = requests.into_inner();
    let (sender, receiver) = mpsc::channel(INSIDE);
    let node = Arc::clone(node);
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            () = read(Arc::new(service), requests, (peer, caller), &sender) => {}
            () = sender.closed() => {}
            () = node.stopping() => {
                let leaving = "this node leaves the cluster; ask again elsewhere";
                let _ = sender.try_send(Err(refuse(ErrorCode::ShuttingDown, leaving)));
            }
        }
    });
    let answers = ReceiverStream::new(receiver).map(|answer: Answer| {
        let (response, parcel) = answer?;
        parcel.forward();
        Ok(response)
    });
    Ok(Box::pin(answers))
}

async fn read<S: Storage>(
    service: Arc<S>,
    mut requests: Streaming<pb::PipelineRequest>,
    (peer, caller): (Option<SocketAddr>, Option<Caller>),
    answers: &mpsc::Sender<Answer>,
) {
    let inside = Arc::new(Semaphore::new(INSIDE));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&inside).acquire_owned().await else {
            return;
        };
        // A broken stream has nobody left to tell.
        let Ok(Some(request)) = requests.message().await else {
            return;
        };
        // What a client that has gone had asked for is not begun: a unary call ends with its stream as well.
        if answers.is_closed() {
            return;
        }
        let (service, caller) = (Arc::clone(&service), caller.clone());
        let mut answering = Box::pin(PEER.scope(peer, async move {
            let answering = Collecting::new(answer(&*service, caller.as_ref(), request.request));
            let (response, parcel) = answering.await;
            let response = pb::PipelineResponse {
                id: request.id,
                response: Some(response),
            };
            (response, parcel)
        }));
        // Most reads wait for nothing: they need no task of their own.
        match poll_fn(|context| Poll::Ready(answering.as_mut().poll(context))).await {
            Poll::Ready(response) => {
                if answers.send(Ok(response)).await.is_err() {
                    return;
                }
            }
            Poll::Pending => {
                let answers = answers.clone();
                tokio::spawn(async move {
                    let _ = answers.send(Ok(answering.await)).await;
                    drop(permit);
                });
            }
        }
    }
}

/// Each request is allowed or not as if it had come alone; without security there is no caller to judge.
async fn answer<S: Storage>(
    service: &S,
    caller: Option<&Caller>,
    asked: Option<Asked>,
) -> Answered {
    if let (Some(caller), Some(asked)) = (caller, &asked)
        && let Err(refused) = caller.may(path(asked))
    {
        return Answered::Error(told(&refused));
    }
    let answered = match asked {
        Some(Asked::Get(asked)) => inner(service.get(Request::new(asked)).await, Answered::Get),
        Some(Asked::Put(asked)) => inner(service.put(Request::new(asked)).await, Answered::Put),
        Some(Asked::Delete(asked)) => {
            inner(service.delete(Request::new(asked)).await, Answered::Delete)
        }
        Some(Asked::BatchGet(asked)) => inner(
            service.batch_get(Request::new(asked)).await,
            Answered::BatchGet,
        ),
        Some(Asked::BatchPut(asked)) => inner(
            service.batch_put(Request::new(asked)).await,
            Answered::BatchPut,
        ),
        None => Err(refuse(
            ErrorCode::Unsupported,
            "a request of a kind that this server does not know: upgrade it",
        )),
    };
    answered.unwrap_or_else(|status| Answered::Error(told(&status)))
}

fn path(asked: &Asked) -> &'static str {
    match asked {
        Asked::Get(_) => "/aidb.v1.Storage/Get",
        Asked::Put(_) => "/aidb.v1.Storage/Put",
        Asked::Delete(_) => "/aidb.v1.Storage/Delete",
        Asked::BatchGet(_) => "/aidb.v1.Storage/BatchGet",
        Asked::BatchPut(_) => "/aidb.v1.Storage/BatchPut",
    }
}

fn inner<A>(
    answer: Result<Response<A>, Status>,
    wrap: impl FnOnce(A) -> Answered,
) -> Result<Answered, Status> {
    answer.map(|answer| wrap(answer.into_inner()))
}

fn told(status: &Status) -> pb::Error {
    reported(status).unwrap_or_else(|| error(ErrorCode::Internal, status.message()))
}
