//! A connection to a server under load, whatever it speaks.

use std::time::Duration;

use aidb_client::error::reported;
use aidb_client::pb::{self, ServedBy};
use tonic::Status;

use crate::etcd::Etcd;
use crate::keys::Keys;
use crate::redis::Redis;
use crate::storage::{Pipeline, Unary};
use crate::work::Work;

/// Of one operation.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wire {
    Unary,
    Pipeline,
    Redis,
    Etcd,
}

/// Why an operation was not done.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What tallies count it by.
    pub name: String,
    /// When the server wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            retry_after: None,
        }
    }

    /// An operation that this server does not have.
    pub fn unsupported(work: Work) -> Self {
        Self::named(format!("{work} cannot be asked for so"))
    }
}

impl From<pb::Error> for Failure {
    fn from(error: pb::Error) -> Self {
        let wait = Duration::from_millis(error.retry_after_ms.into());
        Self {
            name: error.code().as_str_name().to_owned(),
            retry_after: Some(wait).filter(|wait| !wait.is_zero()),
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        match reported(&status) {
            Some(error) => error.into(),
            None => Self::named(format!("{:?}: {}", status.code(), status.message())),
        }
    }
}

pub enum Connection {
    Unary(Unary),
    Pipeline(Pipeline),
    Redis(Redis),
    Etcd(Etcd),
}

impl Connection {
    /// `expected`: who should answer reads; another's answer is a failure.
    pub async fn open(
        wire: Wire,
        address: &str,
        expected: Option<ServedBy>,
    ) -> Result<Self, Failure> {
        Ok(match wire {
            Wire::Unary => Self::Unary(Unary::open(address, expected).await?),
            Wire::Pipeline => Self::Pipeline(Pipeline::open(address, expected).await?),
            Wire::Redis => Self::Redis(Redis::open(address).await?),
            Wire::Etcd => Self::Etcd(Etcd::open(address).await?),
        })
    }

    /// Does `work` with the keys from `number` on, and checks that all of it was answered.
    pub async fn ask(&self, work: Work, keys: &Keys, number: u64) -> Result<(), Failure> {
        match self {
            Self::Unary(server) => server.ask(work, keys, number).await,
            Self::Pipeline(server) => server.ask(work, keys, number).await,
            Self::Redis(server) => server.ask(work, keys, number).await,
            Self::Etcd(server) => server.ask(work, keys, number).await,
        }
    }
}
