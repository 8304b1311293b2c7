//! How many bytes each slot takes: a slot is one range of the store.

use aidb_client::pb;
use aidb_client::slots::SLOT_COUNT;
use aidb_lsm::Store;

use super::slots::Span;

/// About how many bytes each slot of `spans` takes.
pub fn of(store: &Store, spans: &[Span]) -> Vec<pb::SlotSizes> {
    // The slot after the last is where that ends; no key has it.
    let bounds: Vec<[u8; 2]> = (0..=SLOT_COUNT).map(u16::to_be_bytes).collect();
    let bytes = store.estimate_parts(&bounds);
    let of_span = |&(first, last): &Span| pb::SlotSizes {
        first: first.into(),
        bytes: bytes[first.into()..=last.into()].to_vec(),
    };
    spans.iter().map(of_span).collect()
}
