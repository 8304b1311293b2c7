//! Puts that came one after another in a pipeline, begun and answered together: what a put pays for a future, a channel
//! and a look at clock, lease and topology of its own is paid once for all of them.

use std::pin::Pin;

use aidb_client::error::status;
use aidb_client::pb;
use aidb_lsm::{Committed, Outcome};
use bytes::Bytes;
use futures_util::stream;
use tokio_stream::Stream;
use tonic::Status;

use super::commit::{closed, late, sequenced};
use super::groups::{Asker, Groups, Step, UnderWay};
use super::storage::StorageService;
use super::token::header;
use super::write::answer;
use crate::serve::Admitted;

/// Requests of the pipeline, by their ids there.
pub type Answers = Vec<(u64, Result<pb::PutResponse, Status>)>;

pub struct Put {
    pub id: u64,
    pub key: Bytes,
    /// None: answered.
    pub admitted: Option<Admitted>,
}

impl Asker for Put {
    fn deadline_ms(&self) -> u64 {
        let admitted = self.admitted.as_ref();
        admitted.map_or(0, |admitted| admitted.deadline.at_ms)
    }
}

/// Answers as they come: those of a batch at once, and before them those whose deadline passed.
pub fn begin(
    service: StorageService,
    run: Groups<Put>,
) -> Pin<Box<dyn Stream<Item = Answers> + Send>> {
    if let Err(poisoned) = service.check_poison() {
        let refused = all(&mut run.into_askers().collect::<Vec<_>>(), &poisoned);
        return Box::pin(stream::iter([refused]));
    }
    let groups: Vec<_> = run.submit(&service.primary.store).collect();
    let state = (service, groups.into_iter(), None);
    Box::pin(stream::unfold(state, |(service, mut rest, waited)| async {
        let mut group: UnderWay<Put> = waited.or_else(|| rest.next())?;
        loop {
            let answers = match group.wait().await {
                Step::Ended(Ok(committed)) => service.answers(group.askers, committed),
                Step::Ended(Err(failed)) => all(&mut group.askers, &service.failed(failed)),
                Step::Closed => all(&mut group.askers, &closed()),
                Step::Late => {
                    let passed = |put: &&mut Put| {
                        let admitted = put.admitted.as_ref();
                        admitted.is_some_and(|admitted| admitted.deadline.in_time().is_err())
                    };
                    let overdue = all(group.askers.iter_mut().filter(passed), &late());
                    match overdue.is_empty() {
                        true => continue,
                        false => return Some((overdue, (service, rest, Some(group)))),
                    }
                }
            };
            return Some((answers, (service, rest, None)));
        }
    }))
}

/// Refuses those that have no answer yet.
fn all<'a>(puts: impl IntoIterator<Item = &'a mut Put>, refused: &Status) -> Answers {
    let waiting = puts
        .into_iter()
        .filter_map(|put| put.admitted.take().map(|_| put.id));
    waiting.map(|id| (id, Err(refused.clone()))).collect()
}

impl StorageService {
    fn answers(&self, puts: Vec<Put>, committed: Committed) -> Answers {
        let Committed { lsn, outcomes, .. } = committed;
        let evidence = self.check_evidence(&outcomes);
        let view = self.node.topology.view();
        let shared = header(&self.node, &view, lsn);
        let answered = |put: &Put, outcome: Outcome| {
            if sequenced(&outcome) {
                evidence.clone()?;
            }
            let version = answer(outcome, &put.key, &view).map_err(status)?;
            // A repeated request's version is older, nobody's is newer than what its batch showed.
            let header = Some(shared.clone());
            Ok(pb::PutResponse { header, version })
        };
        let waiting = puts.into_iter().zip(outcomes);
        waiting
            .filter(|(put, _)| put.admitted.is_some())
            .map(|(put, outcome)| (put.id, answered(&put, outcome)))
            .collect()
    }
}
