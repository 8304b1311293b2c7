//! AiDb's own servers: unary calls, or one stream of a pipeline.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use aidb_client::pb::pipeline_request::Request as Asked;
use aidb_client::pb::pipeline_response::Response as Answered;
use aidb_client::pb::storage_client::StorageClient;
use aidb_client::pb::{self, ServedBy};
use aidb_node::serve::stack::STREAMS_PER_CONNECTION;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::keys::Keys;
use crate::session::Session;
use crate::target::{Failure, TIMEOUT};
use crate::work::Work;

const WINDOW: u32 = 8 << 20;

async fn connect(address: &str) -> Result<StorageClient<Channel>, Failure> {
    let failed = |error: tonic::transport::Error| Failure::named(format!("{address}: {error}"));
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .map_err(failed)?
        .connect_timeout(TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .connect()
        .await
        .map_err(failed)?;
    Ok(StorageClient::new(channel).max_decoding_message_size(64 << 20))
}

pub struct Unary {
    client: StorageClient<Channel>,
    /// A request is not made before it has one: thousands of batches that are made and wait for a stream cost the generator
    /// more than sending them does.
    streams: Semaphore,
    session: Session,
}

impl Unary {
    pub async fn open(address: &str, expected: Option<ServedBy>) -> Result<Self, Failure> {
        Ok(Self {
            client: connect(address).await?,
            streams: Semaphore::new(STREAMS_PER_CONNECTION as usize),
            session: Session::new(expected),
        })
    }

    pub async fn ask(&self, work: Work, keys: &Keys, number: u64) -> Result<(), Failure> {
        let _stream = self.streams.acquire().await;
        let (mut client, session) = (self.client.clone(), &self.session);
        match work {
            Work::Get => {
                let answer = client.get(session.get(keys, number)).await?;
                session.got(answer.into_inner())
            }
            Work::Put => {
                let answer = client.put(session.put(keys, number)).await?;
                session.written(answer.into_inner())
            }
            Work::BatchGet(count) => {
                let answer = client
                    .batch_get(session.batch_get(keys, number, count))
                    .await?;
                session.got_all(answer.into_inner(), count)
            }
            Work::BatchPut(count) => {
                let answer = client
                    .batch_put(session.batch_put(keys, number, count))
                    .await?;
                session.written_all(answer.into_inner(), count)
            }
            Work::Scan(limit) => {
                // From far enough before the end that there are so many.
                let number = number % keys.count().saturating_sub(limit).max(1);
                let mut chunks = client
                    .scan(session.scan(keys, number, limit))
                    .await?
                    .into_inner();
                let mut entries = 0;
                while let Some(chunk) = chunks.message().await? {
                    entries += chunk.entries.len() as u64;
                    session.seen(chunk.header)?;
                }
                match entries == limit.min(keys.count()) {
                    true => Ok(()),
                    false => Err(Failure::named("a scan with entries missing")),
                }
            }
        }
    }
}

type Waiting = Rc<RefCell<HashMap<u64, oneshot::Sender<Answered>>>>;

pub struct Pipeline {
    requests: mpsc::UnboundedSender<pb::PipelineRequest>,
    waiting: Waiting,
    next: Cell<u64>,
    session: Session,
}

impl Pipeline {
    /// To be called in a `LocalSet`: answers are read by a task of their own.
    pub async fn open(address: &str, expected: Option<ServedBy>) -> Result<Self, Failure> {
        let mut client = connect(address).await?;
        let (requests, receiver) = mpsc::unbounded_channel();
        let mut answers = client
            .pipeline(UnboundedReceiverStream::new(receiver))
            .await?
            .into_inner();
        let waiting = Waiting::default();
        let found = Rc::clone(&waiting);
        tokio::task::spawn_local(async move {
            while let Ok(Some(answer)) = answers.message().await {
                let asker = found.borrow_mut().remove(&answer.id);
                if let (Some(asker), Some(response)) = (asker, answer.response) {
                    let _ = asker.send(response);
                }
            }
            // Nobody will be answered any more: they learn it by their receivers.
            found.borrow_mut().clear();
        });
        Ok(Self {
            requests,
            waiting,
            next: Cell::new(1),
            session: Session::new(expected),
        })
    }

    pub async fn ask(&self, work: Work, keys: &Keys, number: u64) -> Result<(), Failure> {
        let session = &self.session;
        let asked = match work {
            Work::Get => Asked::Get(session.get(keys, number)),
            Work::Put => Asked::Put(session.put(keys, number)),
            Work::BatchGet(count) => Asked::BatchGet(session.batch_get(keys, number, count)),
            Work::BatchPut(count) => Asked::BatchPut(session.batch_put(keys, number, count)),
            Work::Scan(_) => return Err(Failure::unsupported(work)),
        };
        let ended = || Failure::named("the pipeline has ended");
        let id = self.next.get();
        self.next.set(id + 1);
        let (reply, answer) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, reply);
        let request = pb::PipelineRequest {
            id,
            request: Some(asked),
        };
        self.requests.send(request).map_err(|_| ended())?;
        match answer.await.map_err(|_| ended())? {
            Answered::Get(answer) => session.got(answer),
            Answered::Put(answer) => session.written(answer),
            Answered::BatchGet(answer) => session.got_all(answer, work.keys()),
            Answered::BatchPut(answer) => session.written_all(answer, work.keys()),
            Answered::Delete(_) => Err(Failure::named("an answer of another kind")),
            Answered::Error(error) => Err(error.into()),
        }
    }
}
