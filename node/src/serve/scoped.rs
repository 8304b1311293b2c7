//! Storage as its callers see it: a message reaches the role's handlers only if it is within what its caller's token is
//! limited to; and what its header says is noted for who watches requests (`observed`). Gets and puts that come alone have
//! been asked before (see `unary`), what a pipeline carries when it is begun; here nothing is left out. Callers that are
//! not limited pay for one look at what came with the request.

use std::sync::Arc;

use aidb_client::pb;
use aidb_client::pb::storage_server::{Storage, StorageServer};
use tonic::{Request, Response, Status, Streaming};

use super::observed::{Headed, note};
use super::security::{Reaching, Scope};

/// The service of `storage`, whose messages have at most so many bytes.
pub fn storage_service<S: Storage>(storage: S, message_bytes: usize) -> StorageServer<Scoped<S>> {
    StorageServer::new(Scoped(storage))
        .max_decoding_message_size(message_bytes)
        .max_encoding_message_size(message_bytes)
}

pub struct Scoped<S>(S);

/// Looks at a message before it is begun; `scope`: of a caller who is limited.
pub fn look<T: Reaching + Headed>(
    message: &mut T,
    scope: Option<&Arc<Scope>>,
) -> Result<(), Status> {
    note(message);
    scope.map_or(Ok(()), |scope| scope.allows(message))
}

fn check<T: Reaching + Headed>(request: &mut Request<T>) -> Result<(), Status> {
    let scope = request.extensions().get().cloned();
    look(request.get_mut(), scope.as_ref())
}

#[tonic::async_trait]
impl<S: Storage> Storage for Scoped<S> {
    type ScanStream = S::ScanStream;
    type PipelineStream = S::PipelineStream;
    type WatchStream = S::WatchStream;

    async fn get(
        &self,
        mut request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        check(&mut request)?;
        self.0.get(request).await
    }

    async fn put(
        &self,
        mut request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        check(&mut request)?;
        self.0.put(request).await
    }

    async fn delete(
        &self,
        mut request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        check(&mut request)?;
        self.0.delete(request).await
    }

    async fn batch_get(
        &self,
        mut request: Request<pb::BatchGetRequest>,
    ) -> Result<Response<pb::BatchGetResponse>, Status> {
        check(&mut request)?;
        self.0.batch_get(request).await
    }

    async fn batch_put(
        &self,
        mut request: Request<pb::BatchPutRequest>,
    ) -> Result<Response<pb::BatchPutResponse>, Status> {
        check(&mut request)?;
        self.0.batch_put(request).await
    }

    async fn scan(
        &self,
        mut request: Request<pb::ScanRequest>,
    ) -> Result<Response<Self::ScanStream>, Status> {
        check(&mut request)?;
        self.0.scan(request).await
    }

    async fn watch(
        &self,
        mut request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        check(&mut request)?;
        self.0.watch(request).await
    }

    async fn pipeline(
        &self,
        requests: Request<Streaming<pb::PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        self.0.pipeline(requests).await
    }

    async fn health_check(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<pb::HealthCheckResponse>, Status> {
        self.0.health_check(request).await
    }

    async fn get_stats(
        &self,
        request: Request<pb::GetStatsRequest>,
    ) -> Result<Response<pb::GetStatsResponse>, Status> {
        self.0.get_stats(request).await
    }
}
