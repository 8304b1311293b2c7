//! What slots hold, as a sum that does not depend on the order (M5).

use aidb_lsm::{Direction, Result, Snapshot};
use xxhash_rust::xxh3::Xxh3Default;

use super::range_of;
use crate::primary::slots::Span;

/// How many entries there are, and the sum of their hashes, of those that never expire or expire after `live_after_ms`.
pub fn digest(snapshot: &Snapshot, spans: &[Span], live_after_ms: u64) -> Result<(u64, u64)> {
    let (mut entries, mut sum) = (0u64, 0u64);
    for &span in spans {
        let mut scan = snapshot.scan(range_of(span), Direction::Forward)?;
        while let Some(entry) = scan.step()? {
            if entry.expires_at_ms != 0 && entry.expires_at_ms <= live_after_ms {
                continue;
            }
            let mut hash = Xxh3Default::new();
            hash.update(&(entry.key.len() as u64).to_le_bytes());
            hash.update(entry.key);
            hash.update(&entry.version.to_le_bytes());
            hash.update(&entry.expires_at_ms.to_le_bytes());
            hash.update(&(entry.value.len() as u64).to_le_bytes());
            hash.update(entry.value);
            entries += 1;
            sum = sum.wrapping_add(hash.digest());
        }
    }
    Ok((entries, sum))
}
