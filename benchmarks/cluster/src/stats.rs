//! What a server says of itself.

use aidb_client::pb;
use aidb_client::pb::storage_client::StorageClient;

pub fn of(address: &str) -> Result<pb::GetStatsResponse, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(async {
        let endpoint =
            aidb_client::pool::endpoint(address).map_err(|status| status.message().to_owned())?;
        let channel = endpoint
            .connect()
            .await
            .map_err(|error| format!("no connection to {address}: {error}"))?;
        StorageClient::new(channel)
            .get_stats(pb::GetStatsRequest::default())
            .await
            .map(tonic::Response::into_inner)
            .map_err(|status| format!("{address}: {}", status.message()))
    })
}
