//! What a client library would send with each request, and what it would look at in each answer.

use std::cell::{Cell, RefCell};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aidb_client::pb::{self, ServedBy};
use bytes::Bytes;

use crate::keys::Keys;
use crate::target::{Failure, TIMEOUT};

pub struct Session {
    client: u64,
    next_write: Cell<u64>,
    topology_version: Cell<u64>,
    token: RefCell<Bytes>,
    expected: Option<ServedBy>,
}

impl Session {
    pub fn new(expected: Option<ServedBy>) -> Self {
        Self {
            client: fastrand::u64(1..),
            next_write: Cell::new(1),
            topology_version: Cell::new(0),
            token: RefCell::default(),
            expected,
        }
    }

    /// Of a request with so many writes.
    fn header(&self, writes: u64) -> Option<pb::RequestHeader> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let seq = self.next_write.get();
        self.next_write.set(seq + writes);
        let id = pb::RequestId {
            client: self.client,
            seq,
        };
        Some(pb::RequestHeader {
            deadline_unix_ms: (now + TIMEOUT).as_millis() as u64,
            request_id: (writes > 0).then_some(id),
            first_sent_unix_ms: if writes > 0 {
                now.as_millis() as u64
            } else {
                0
            },
            topology_version: self.topology_version.get(),
            token: self.token.borrow().clone(),
            ..Default::default()
        })
    }

    pub fn get(&self, keys: &Keys, number: u64) -> pb::GetRequest {
        pb::GetRequest {
            header: self.header(0),
            key: keys.key(number),
        }
    }

    pub fn put(&self, keys: &Keys, number: u64) -> pb::PutRequest {
        pb::PutRequest {
            header: self.header(1),
            key: keys.key(number),
            value: keys.value(),
            ..Default::default()
        }
    }

    pub fn batch_get(&self, keys: &Keys, number: u64, count: u64) -> pb::BatchGetRequest {
        pb::BatchGetRequest {
            header: self.header(0),
            keys: (0..count).map(|index| keys.key(number + index)).collect(),
        }
    }

    pub fn batch_put(&self, keys: &Keys, number: u64, count: u64) -> pb::BatchPutRequest {
        let op = |index| pb::WriteOp {
            key: keys.key(number + index),
            value: keys.value(),
            ..Default::default()
        };
        pb::BatchPutRequest {
            header: self.header(count),
            ops: (0..count).map(op).collect(),
            ..Default::default()
        }
    }

    pub fn scan(&self, keys: &Keys, number: u64, limit: u64) -> pb::ScanRequest {
        pb::ScanRequest {
            header: self.header(0),
            start: keys.key(number),
            limit,
            ..Default::default()
        }
    }

    /// Of every answer. (One server and one shard: the last token holds all the others.)
    pub fn seen(&self, header: Option<pb::ResponseHeader>) -> Result<ServedBy, Failure> {
        let header = header.ok_or_else(|| Failure::named("an answer without a header"))?;
        let served_by = header.served_by();
        self.topology_version
            .set(self.topology_version.get().max(header.topology_version));
        self.token.replace(header.token);
        Ok(served_by)
    }

    pub fn got(&self, answer: pb::GetResponse) -> Result<(), Failure> {
        self.read(answer.header)?;
        match answer.found {
            true => Ok(()),
            false => Err(Failure::named("NOT_FOUND")),
        }
    }

    pub fn written(&self, answer: pb::PutResponse) -> Result<(), Failure> {
        self.seen(answer.header).map(|_| ())
    }

    pub fn got_all(&self, answer: pb::BatchGetResponse, count: u64) -> Result<(), Failure> {
        self.read(answer.header)?;
        whole(answer.results.len(), count)?;
        for result in answer.results {
            match result.error {
                Some(error) => return Err((*error).into()),
                None if !result.found => return Err(Failure::named("NOT_FOUND")),
                None => {}
            }
        }
        Ok(())
    }

    pub fn written_all(&self, answer: pb::BatchPutResponse, count: u64) -> Result<(), Failure> {
        self.seen(answer.header)?;
        whole(answer.results.len(), count)?;
        match answer.results.into_iter().find_map(|result| result.error) {
            Some(error) => Err((*error).into()),
            None => Ok(()),
        }
    }

    fn read(&self, header: Option<pb::ResponseHeader>) -> Result<(), Failure> {
        let served_by = self.seen(header)?;
        match self.expected {
            Some(expected) if expected != served_by => Err(Failure::named(format!(
                "answered by {}",
                served_by.as_str_name()
            ))),
            _ => Ok(()),
        }
    }
}

fn whole(results: usize, asked: u64) -> Result<(), Failure> {
    match results as u64 == asked {
        true => Ok(()),
        false => Err(Failure::named("an answer with results missing")),
    }
}
