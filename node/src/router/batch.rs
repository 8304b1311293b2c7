//! Batches over shards: each item has its target; a round sends one call to each target, all at once; what comes back
//! `Moved`, or can be read elsewhere, goes into another round.

use std::collections::BTreeMap;

use aidb_client::call::{cause, cause_of, forwarded};
use aidb_client::error::reported;
use aidb_client::pb;
use aidb_client::policy::{Action, Cause, Kind, decide};
use tokio::task::JoinSet;
use tonic::{Response, Status};

use super::route::{Target, moved_to};
use super::upstream::MOST_MOVES;

/// One item on its way.
pub struct Item {
    /// In the caller's batch.
    pub index: usize,
    pub kind: Kind,
    pub target: Target,
    /// Whom to ask when the target fails, for reads.
    pub other: Option<Target>,
}

/// What one call to a target is to carry: indices into the caller's batch, ascending.
pub struct Part {
    pub target: Target,
    pub indices: Vec<usize>,
    /// Another member could be asked if this one is late.
    pub others: bool,
}

/// One call's answer, in the order of its part.
pub struct Answered<R> {
    pub header: Option<pb::ResponseHeader>,
    pub results: Vec<R>,
}

/// The result of one item: what a server said of it, or how it failed.
pub trait ItemResult: Sized {
    fn error(&self) -> Option<&pb::Error>;
    fn failed(error: pb::Error) -> Self;
}

impl ItemResult for pb::GetResult {
    fn error(&self) -> Option<&pb::Error> {
        self.error.as_deref()
    }

    fn failed(error: pb::Error) -> Self {
        Self {
            error: Some(error.into()),
            ..Default::default()
        }
    }
}

impl ItemResult for pb::WriteResult {
    fn error(&self) -> Option<&pb::Error> {
        self.error.as_deref()
    }

    fn failed(error: pb::Error) -> Self {
        Self {
            error: Some(error.into()),
            ..Default::default()
        }
    }
}

/// Sends `items` until each has its result; `send` makes the call of one part. Returns the answers' headers.
pub async fn scatter<R, Call>(
    mut items: Vec<Item>,
    results: &mut [R],
    send: impl Fn(&Part) -> Call,
) -> Vec<pb::ResponseHeader>
where
    R: ItemResult + Send + 'static,
    Call: Future<Output = Result<Answered<R>, Status>> + Send + 'static,
{
    let mut headers = Vec::new();
    for _ in 0..=MOST_MOVES {
        if items.is_empty() {
            break;
        }
        let mut calls = JoinSet::new();
        for (target, items) in by_target(std::mem::take(&mut items)) {
            let part = Part {
                target,
                indices: items.iter().map(|item| item.index).collect(),
                others: items.iter().all(|item| item.other.is_some()),
            };
            let call = send(&part);
            calls.spawn(async move { (items, call.await) });
        }
        while let Some(joined) = calls.join_next().await {
            // A call neither panics nor is it aborted while this future lives.
            let Ok((part, answer)) = joined else { continue };
            headers.extend(take(part, answer, results, &mut items));
        }
        items.sort_by_key(|item| item.index);
    }
    headers
}

/// Puts the results of one part in their places; what is to be asked again goes to `again`, its last error in its place.
fn take<R: ItemResult>(
    part: Vec<Item>,
    answer: Result<Answered<R>, Status>,
    results: &mut [R],
    again: &mut Vec<Item>,
) -> Option<pb::ResponseHeader> {
    match answer {
        Ok(answered) if answered.results.len() == part.len() => {
            for (item, result) in part.into_iter().zip(answered.results) {
                let next = result
                    .error()
                    .map(|error| (cause_of(error), error.clone()))
                    .and_then(|(cause, error)| retarget(&item, cause, Some(&error)));
                results[item.index] = result;
                again.extend(next);
            }
            answered.header
        }
        Ok(_) => {
            let nonsense = Status::unknown("the answer has another number of results");
            fail(part, &nonsense, results, again);
            None
        }
        Err(failed) => {
            fail(part, &failed, results, again);
            None
        }
    }
}

fn fail<R: ItemResult>(part: Vec<Item>, failed: &Status, results: &mut [R], again: &mut Vec<Item>) {
    let said = reported(failed);
    for item in part {
        let error = forwarded(failed, item.kind, &item.target.address);
        results[item.index] = R::failed(error);
        again.extend(retarget(&item, cause(failed), said.as_ref()));
    }
}

/// The item's next attempt, None when its failure stands.
fn retarget(item: &Item, cause: Cause, error: Option<&pb::Error>) -> Option<Item> {
    let target = match decide(cause, item.kind) {
        Action::Redirect => moved_to(error?)?,
        Action::OtherMember => item.other.clone()?,
        _ => return None,
    };
    Some(Item {
        target,
        other: None,
        ..*item
    })
}

fn by_target(items: Vec<Item>) -> BTreeMap<Target, Vec<Item>> {
    let mut parts: BTreeMap<Target, Vec<Item>> = BTreeMap::new();
    for item in items {
        parts.entry(item.target.clone()).or_default().push(item);
    }
    parts
}

/// The results of one call, as `scatter` takes them.
pub fn answered<A, R>(
    answer: Result<Response<A>, Status>,
    open: impl FnOnce(A) -> (Option<pb::ResponseHeader>, Vec<R>),
) -> Result<Answered<R>, Status> {
    let (header, results) = open(answer?.into_inner());
    Ok(Answered { header, results })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use aidb_client::error::{error, refuse, status};
    use aidb_client::pb::ErrorCode;

    use super::*;

    fn target(address: &str) -> Target {
        Target {
            shard: 0,
            address: address.into(),
            replica: false,
        }
    }

    fn item(index: usize, kind: Kind, at: &str, other: Option<&str>) -> Item {
        Item {
            index,
            kind,
            target: target(at),
            other: other.map(target),
        }
    }

    fn moved(to: &str) -> pb::Error {
        pb::Error {
            moved: Some(pb::Route {
                address: to.into(),
                ..Default::default()
            }),
            ..error(ErrorCode::Moved, "elsewhere")
        }
    }

    /// Runs `items` against `server` (address, indices) and returns each item's version or error code, and who was asked.
    async fn run(
        items: Vec<Item>,
        server: impl Fn(&str, &[usize]) -> Result<Vec<pb::WriteResult>, Status>,
    ) -> (Vec<Result<u64, ErrorCode>>, Vec<String>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut results = vec![pb::WriteResult::default(); items.len()];
        scatter(items, &mut results, |part| {
            asked.lock().unwrap().push(part.target.address.clone());
            let answer = server(&part.target.address, &part.indices);
            async move {
                answer.map(|results| Answered {
                    header: None,
                    results,
                })
            }
        })
        .await;
        let found = results.iter().map(|result| match &result.error {
            None => Ok(result.version),
            Some(error) => Err(error.code()),
        });
        let found = found.collect();
        let asked = asked.lock().unwrap().clone();
        (found, asked)
    }

    fn written(indices: &[usize]) -> Vec<pb::WriteResult> {
        let version = |&index| pb::WriteResult {
            version: index as u64 + 1,
            error: None,
        };
        indices.iter().map(version).collect()
    }

    #[tokio::test]
    async fn each_item_has_its_own_answer_and_moved_ones_are_followed() {
        let items = vec![
            item(0, Kind::Write, "a", None),
            item(1, Kind::Write, "b", None),
            item(2, Kind::Write, "a", None),
        ];
        let (found, asked) = run(items, |at, indices| {
            let mut results = written(indices);
            if at == "a" {
                results[1].error = Some(moved("c").into());
            }
            Ok(results)
        })
        .await;
        assert_eq!(found, [Ok(1), Ok(2), Ok(3)]);
        assert_eq!(asked, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_lost_write_is_not_sent_again_and_a_lost_read_is() {
        let items = vec![
            item(0, Kind::Write, "a", None),
            item(1, Kind::Read, "b", Some("c")),
        ];
        let (found, asked) = run(items, |at, indices| match at {
            "c" => Ok(written(indices)),
            _ => Err(Status::unavailable("reset")),
        })
        .await;
        assert_eq!(found, [Err(ErrorCode::UnknownOutcome), Ok(2)]);
        assert_eq!(asked, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn moves_that_never_settle_end() {
        let items = vec![item(0, Kind::Write, "a", None)];
        let (found, asked) = run(items, |_, _| Err(status(moved("a")))).await;
        assert_eq!(found, [Err(ErrorCode::Moved)]);
        assert_eq!(asked.len(), MOST_MOVES + 1);
        let refused = run(vec![item(0, Kind::Write, "a", None)], |_, _| {
            Err(refuse(ErrorCode::DiskFull, "full"))
        })
        .await;
        assert_eq!(refused.0, [Err(ErrorCode::DiskFull)]);
    }
}
