//! etcd by its own gRPC.

use tonic::transport::{Channel, Endpoint};

use self::pb::kv_client::KvClient;
use crate::keys::Keys;
use crate::target::{Failure, TIMEOUT};
use crate::work::Work;

#[allow(clippy::all)]
mod pb {
    tonic::include_proto!("etcdserverpb");
}

pub struct Etcd(KvClient<Channel>);

impl Etcd {
    pub async fn open(address: &str) -> Result<Self, Failure> {
        let failed = |error: tonic::transport::Error| Failure::named(format!("{address}: {error}"));
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .map_err(failed)?
            .connect_timeout(TIMEOUT)
            .tcp_nodelay(true)
            .connect()
            .await
            .map_err(failed)?;
        Ok(Self(KvClient::new(channel)))
    }

    pub async fn ask(&self, work: Work, keys: &Keys, number: u64) -> Result<(), Failure> {
        let mut client = self.0.clone();
        let key = keys.key(number).to_vec();
        match work {
            Work::Get => {
                let found = client.range(pb::RangeRequest { key }).await?.into_inner();
                match found.kvs.len() {
                    1 => Ok(()),
                    _ => Err(Failure::named("NOT_FOUND")),
                }
            }
            Work::Put => {
                let value = keys.value().to_vec();
                client.put(pb::PutRequest { key, value }).await?;
                Ok(())
            }
            _ => Err(Failure::unsupported(work)),
        }
    }
}
