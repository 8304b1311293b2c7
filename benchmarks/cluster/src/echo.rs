//! The bare echo: Storage on the servers' own stack, by handlers that return an answer of the same shape and size and do
//! nothing else. What a server costs beyond it is what AiDb itself costs.

use std::pin::Pin;

use aidb_client::pb;
use aidb_client::pb::pipeline_request::Request as Asked;
use aidb_client::pb::pipeline_response::Response as Answered;
use aidb_client::pb::storage_server::{Storage, StorageServer};
use aidb_client::{Position, Token};
use aidb_node::serve::{Limits, listen, stack};
use bytes::Bytes;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::keys::Keys;

#[derive(Clone)]
struct Echo {
    keys: Keys,
    token: Bytes,
}

/// Serves until the process ends; prints where, as the programs do.
pub fn run(address: &str, threads: usize, keys: Keys) -> Result<(), Box<dyn std::error::Error>> {
    let position = Position {
        epoch: 1,
        lsn: 1 << 20,
    };
    let echo = Echo {
        keys,
        token: Token::of(0, position, 3).encode(),
    };
    let listeners = listen(address, threads)?;
    let bound = listeners[0].local_addr()?;
    let serving: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let echo = echo.clone();
            std::thread::spawn(move || serve(listener, echo).map_err(|error| error.to_string()))
        })
        .collect();
    println!(
        "{}",
        serde_json::json!({"ready": true, "address": bound.to_string()})
    );
    for thread in serving {
        thread
            .join()
            .map_err(|_| "a thread of the echo panicked")??;
    }
    Ok(())
}

fn serve(listener: std::net::TcpListener, echo: Echo) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = stack::runtime()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let storage = StorageServer::new(echo).max_decoding_message_size(64 << 20);
        stack::server(Limits::default().patience)
            .add_service(storage)
            .serve_with_incoming(incoming)
            .await?;
        Ok(())
    })
}

impl Echo {
    fn header(&self) -> Option<pb::ResponseHeader> {
        Some(pb::ResponseHeader {
            lsn: 1 << 20,
            token: self.token.clone(),
            shard: 0,
            served_by: pb::ServedBy::Primary.into(),
            topology_version: 3,
            ..Default::default()
        })
    }

    fn got(&self) -> pb::GetResponse {
        pb::GetResponse {
            header: self.header(),
            found: true,
            value: self.keys.value(),
            version: 1 << 20,
            expires_at_unix_ms: 0,
        }
    }

    fn written(&self) -> pb::PutResponse {
        pb::PutResponse {
            header: self.header(),
            version: 1 << 20,
        }
    }

    fn got_all(&self, asked: &pb::BatchGetRequest) -> pb::BatchGetResponse {
        let result = |_: &Bytes| pb::GetResult {
            found: true,
            value: self.keys.value(),
            version: 1 << 20,
            expires_at_unix_ms: 0,
            error: None,
        };
        pb::BatchGetResponse {
            header: self.header(),
            results: asked.keys.iter().map(result).collect(),
        }
    }

    fn written_all(&self, asked: &pb::BatchPutRequest) -> pb::BatchPutResponse {
        let result = |_: &pb::WriteOp| pb::WriteResult {
            version: 1 << 20,
            error: None,
        };
        pb::BatchPutResponse {
            header: self.header(),
            results: asked.ops.iter().map(result).collect(),
        }
    }

    fn answer(&self, asked: pb::PipelineRequest) -> pb::PipelineResponse {
        let response = match asked.request {
            Some(Asked::Get(_)) => Some(Answered::Get(self.got())),
            Some(Asked::Put(_)) => Some(Answered::Put(self.written())),
            Some(Asked::BatchGet(asked)) => Some(Answered::BatchGet(self.got_all(&asked))),
            Some(Asked::BatchPut(asked)) => Some(Answered::BatchPut(self.written_all(&asked))),
            Some(Asked::Delete(_)) | None => None,
        };
        pb::PipelineResponse {
            id: asked.id,
            response,
        }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn no_such() -> Status {
    Status::unimplemented("not part of the comparison")
}

#[tonic::async_trait]
impl Storage for Echo {
    async fn get(&self, _: Request<pb::GetRequest>) -> Result<Response<pb::GetResponse>, Status> {
        Ok(Response::new(self.got()))
    }

    async fn put(&self, _: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        Ok(Response::new(self.written()))
    }

    async fn delete(
        &self,
        _: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        Err(no_such())
    }

    async fn batch_get(
        &self,
        request: Request<pb::BatchGetRequest>,
    ) -> Result<Response<pb::BatchGetResponse>, Status> {
        Ok(Response::new(self.got_all(request.get_ref())))
    }

    async fn batch_put(
        &self,
        request: Request<pb::BatchPutRequest>,
    ) -> Result<Response<pb::BatchPutResponse>, Status> {
        Ok(Response::new(self.written_all(request.get_ref())))
    }

    type ScanStream = Answers<pb::ScanResponse>;

    async fn scan(
        &self,
        request: Request<pb::ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        let entry = |number| pb::Entry {
            key: self.keys.key(number),
            value: self.keys.value(),
            version: 1 << 20,
            expires_at_unix_ms: 0,
        };
        let chunk = pb::ScanResponse {
            header: self.header(),
            entries: (0..request.get_ref().limit).map(entry).collect(),
            done: true,
            ..Default::default()
        };
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(chunk)))))
    }

    async fn health_check(
        &self,
        _: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<pb::HealthCheckResponse>, Status> {
        Err(no_such())
    }

    async fn get_stats(
        &self,
        _: Request<pb::GetStatsRequest>,
    ) -> Result<Response<pb::GetStatsResponse>, Status> {
        Err(no_such())
    }

    type PipelineStream = Answers<pb::PipelineResponse>;

    async fn pipeline(
        &self,
        request: Request<Streaming<pb::PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        let echo = self.clone();
        let answers = request
            .into_inner()
            .map(move |asked| asked.map(|asked| echo.answer(asked)));
        Ok(Response::new(Box::pin(answers)))
    }

    type WatchStream = Answers<pb::WatchResponse>;

    async fn watch(
        &self,
        _: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(no_such())
    }
}
