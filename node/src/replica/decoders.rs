//! What a primary may send a replica, as a function of any bytes: for the fuzz target (node/fuzz) and for an
//! ordinary test that replays its corpus. Not part of a normal build.

use std::collections::VecDeque;

use aidb_client::{key_hash, pb, slot_of};
use bytes::Bytes;
use prost::Message;

use super::coherence::{Answer, Coherence, Demand, Now};
use super::faults::Faults;
use super::subscription::take;

/// A stream of messages, each with its length before it.
pub fn stream(data: &[u8]) {
    let coherence = Coherence::new(1 << 16, Faults::default());
    let mut pings = VecDeque::from([(1, 10), (2, 20)]);
    let mut input = Bytes::copy_from_slice(data);
    while !input.is_empty() {
        let before = coherence.stream();
        let Ok(message) = pb::SubscribeResponse::decode_length_delimited(&mut input) else {
            return;
        };
        fill(&coherence, &message);
        if take(&coherence, message, &mut pings).is_err() {
            coherence.lost();
        }
        let after = coherence.stream();
        assert!(after.generation > before.generation || after.epoch == before.epoch);
    }
}

/// Entries of the keys that the message names, so that it finds something to change.
fn fill(coherence: &Coherence, message: &pb::SubscribeResponse) {
    let Some(pb::subscribe_response::Kind::Records(records)) = &message.kind else {
        return;
    };
    for update in records
        .records
        .iter()
        .flat_map(|record| &record.updates)
        .take(8)
    {
        let stream = coherence.stream();
        let fill = coherence.begin_fill();
        let answer = Answer {
            value: Some(update.value.clone()),
            version: update.version,
            expires_at_ms: update.expires_at_unix_ms,
            position: aidb_client::Position {
                epoch: stream.epoch,
                lsn: stream.applied,
            },
        };
        let (slot, hash) = (slot_of(&update.key), key_hash(&update.key));
        coherence.finish_fill(fill, slot, hash, &update.key, &answer, 5);
        let now = Now {
            ns: 5,
            wall_ms: 5,
            skew_ms: 0,
        };
        let demand = Demand {
            bound_ns: u64::MAX,
            seen: None,
            since_lsn: 0,
        };
        let _ = coherence.lookup(slot, hash, &update.key, &demand, &now);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_corpus_of_streams() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/stream");
        let files = std::fs::read_dir(&dir).unwrap();
        let inputs: Vec<_> = files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(!inputs.is_empty());
        inputs.iter().for_each(|input| stream(input));
    }
}
