//! Gets that have arrived together in a pipeline, read together: topology, clock and lease are looked at once for all of
//! them, and the engine waits for their places in memory side by side. Each is let in, limited and answered as if it had
//! come alone; those that have to wait for something (a newer topology, a fence, C6) are begun alone.

use aidb_client::error::status;
use aidb_client::key::physical_key_in;
use aidb_client::pb;
use tonic::Status;

use super::durable::Mode;
use super::engine::status_of;
use super::storage::{StorageService, is_fenced};
use super::token::header;
use crate::serve::{Admitted, Answer, Begun, Gets, Origin, Requests, Sampled, View, wall_ms};

/// Those that are read, by their ids.
#[derive(Default)]
struct Reading {
    asked: Vec<(u64, Admitted, Option<Sampled>)>,
    keys: Vec<Vec<u8>>,
}

pub fn begin(service: &StorageService, from: Origin, gets: Gets, tell: &mut impl FnMut(Begun)) {
    let view = service.node.topology.view();
    let now_ms = wall_ms();
    let mut reading = Reading::default();
    for (id, asked) in gets {
        if !service.reads_at_once(&view, &asked) {
            tell(Begun {
                id,
                answer: service.begin_get(from, asked),
                inside: None,
            });
            continue;
        }
        match service.let_in(&view, now_ms, from, &asked) {
            Ok((admitted, sampled, key)) => {
                reading.asked.push((id, admitted, sampled));
                reading.keys.push(key);
            }
            Err(why) => tell(refused(id, why)),
        }
    }
    service.read(&view, reading, tell);
}

fn refused(id: u64, why: Status) -> Begun {
    Begun {
        id,
        answer: Answer::Now(Err(why)),
        inside: None,
    }
}

impl StorageService {
    /// Nothing has to be waited for. (What is refused is refused by the way of those that come alone.)
    fn reads_at_once(&self, view: &View, asked: &pb::GetRequest) -> bool {
        let header = asked.header.as_ref();
        matches!(self.node.suits(view, header), Ok(Ok(())))
            && !is_fenced(view, &asked.key)
            && (!self.primary.archives || self.mode(view, header) == Mode::Async)
    }

    /// The request inside, and its key in the store.
    fn let_in(
        &self,
        view: &View,
        now_ms: u64,
        from: Origin,
        asked: &pb::GetRequest,
    ) -> Result<(Admitted, Option<Sampled>, Vec<u8>), Status> {
        let header = asked.header.as_ref();
        let admission = &self.node.admission;
        let mut admitted = admission.admit_at(now_ms, from, header, 0)?;
        let slot = self.readable(view, &asked.key).map_err(status)?;
        admitted.answers(self.node.expected.get.bytes())?;
        let keyspace = header.map_or(0, |header| header.keyspace);
        let physical = physical_key_in(slot, keyspace, &asked.key);
        let sampled = self.meter.tick();
        let sampled = sampled.then(|| self.node.load.read(slot, &physical));
        Ok((admitted, sampled, physical))
    }

    fn read(&self, view: &View, reading: Reading, tell: &mut impl FnMut(Begun)) {
        let Reading { asked, keys } = reading;
        if keys.is_empty() {
            return;
        }
        let read = self.primary.store.get_many(&keys).map_err(status_of);
        let (lsn, entries) = match read.and_then(|read| self.node.evidence().map(|()| read)) {
            Ok(read) => read,
            Err(why) => {
                return asked
                    .iter()
                    .for_each(|(id, ..)| tell(refused(*id, why.clone())));
            }
        };
        let shared = header(&self.node, view, lsn);
        for ((id, mut admitted, sampled), entry) in asked.into_iter().zip(entries) {
            let answer = match self.found(shared.clone(), entry, &mut admitted, sampled) {
                Ok(answer) => answer,
                Err(why) => {
                    tell(refused(id, why));
                    continue;
                }
            };
            tell(Begun {
                id,
                answer: Answer::Now(Ok(answer)),
                inside: admitted.into_inside(),
            });
        }
    }
}
