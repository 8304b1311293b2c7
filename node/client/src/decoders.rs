//! Each decoder of what others send, as one function that takes any bytes and checks what holds for every
//! input: for the fuzz targets (node/fuzz) and for an ordinary test that replays their corpus. Not part of a
//! normal build.

use prost::Message;

use crate::key::{key_hash, parts, physical_key_in, slot_of_physical};
use crate::pb;
use crate::slots::{SLOT_COUNT, slot_of};
use crate::token::Token;
use crate::topology::TopologyCell;
use crate::view::View;

/// Session tokens and physical keys.
pub fn token_and_key(data: &[u8]) {
    if let Ok(token) = Token::decode(data) {
        assert_eq!(Token::decode(&token.encode()), Ok(token.clone()));
        let mut merged = token.clone();
        merged.merge(&token);
        assert_eq!(merged, token);
        let _ = token.only(7);
    }
    let _ = (key_hash(data), slot_of_physical(data));
    assert!(slot_of(data) < SLOT_COUNT);
    if let Some((slot, keyspace, key)) = parts(data) {
        // A longer varint than needed is read, but never written.
        let written = physical_key_in(slot, keyspace, key);
        assert!(written.len() <= data.len());
        assert_eq!(parts(&written), Some((slot, keyspace, key)));
    }
}

/// The coordinator's view of the cluster.
pub fn view(data: &[u8]) {
    let Ok(cluster) = pb::ClusterView::decode(data) else {
        return;
    };
    let cell = TopologyCell::default();
    let _ = cell.offer(cluster.clone());
    assert!(!cell.offer(cluster.clone()), "the same view is not newer");
    let view = View::new(cluster);
    for slot in [0, 1, SLOT_COUNT / 2, SLOT_COUNT - 1, u16::MAX] {
        let Some(shard) = view.owner(slot) else {
            continue;
        };
        let slots = view.slots_of(shard);
        assert!(
            slots
                .iter()
                .any(|(first, last)| (first..=last).contains(&&slot))
        );
        let _ = (
            view.primary_address(shard),
            view.readable_replicas(shard).count(),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn replay(target: &str, decode: fn(&[u8])) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(target);
        let files = std::fs::read_dir(&dir).unwrap();
        let inputs: Vec<_> = files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(!inputs.is_empty(), "no inputs in {}", dir.display());
        inputs.iter().for_each(|input| decode(input));
    }

    #[test]
    fn the_corpus_of_tokens_and_keys() {
        replay("token_and_key", token_and_key);
    }

    #[test]
    fn the_corpus_of_views() {
        replay("view", view);
    }
}
