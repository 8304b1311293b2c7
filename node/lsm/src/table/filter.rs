//! A bloom filter in blocks of one cache line:
//!
//! ```text
//! payload := probes:u8  (64 bytes)*
//! ```
//!
//! The key's xxh3_64 picks the line by its upper half and the bits in it by repeated
//! multiplication. One hash serves the memtables and the filters of all tables. About 1 % false positives at 10 bits
//! per key; a lookup touches one line instead of one per probe.

use bytes::Bytes;

const LINE_BYTES: usize = 64;

pub(crate) fn hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

pub(crate) fn build(hashes: &[u64], bits_per_key: u32) -> Vec<u8> {
    let bits = hashes.len() * bits_per_key as usize;
    let lines = bits.div_ceil(LINE_BYTES * 8);
    // ln 2 bits per key would be best for a plain filter; a line saturates a little earlier.
    let probes = (bits_per_key * 6 / 10).clamp(1, 12);
    let mut filter = vec![0; 1 + lines * LINE_BYTES];
    filter[0] = probes as u8;
    // With 0 bits per key there is no line, and nothing is ruled out.
    let hashes = if lines == 0 { &[] } else { hashes };
    for &hash in hashes {
        let line = line(hash, lines);
        for bit in bits_of(hash, probes) {
            filter[1 + line * LINE_BYTES + bit / 8] |= 1 << (bit % 8);
        }
    }
    filter
}

fn line(hash: u64, lines: usize) -> usize {
    (((hash >> 32) * lines as u64) >> 32) as usize
}

fn bits_of(hash: u64, probes: u32) -> impl Iterator<Item = usize> {
    let mut state = hash;
    (0..probes).map(move |_| {
        state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        (state >> 55) as usize
    })
}

pub(crate) struct Filter(Bytes);

impl Filter {
    /// `None` when the payload is no filter.
    pub(crate) fn new(payload: Bytes) -> Option<Filter> {
        let whole = payload.len() % LINE_BYTES == 1 && (1..=12).contains(&payload[0]);
        whole.then_some(Filter(payload))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// False: the table does not hold the key.
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        let lines = self.0.len() / LINE_BYTES;
        if lines == 0 {
            return true;
        }
        let start = 1 + line(hash, lines) * LINE_BYTES;
        let line = &self.0[start..start + LINE_BYTES];
        bits_of(hash, u32::from(self.0[0])).all(|bit| line[bit / 8] & (1 << (bit % 8)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_no_bits_rules_nothing_out() {
        let filter = Filter::new(build(&[1, u64::MAX], 0).into()).unwrap();
        assert!(filter.may_contain(1) && filter.may_contain(7));
    }

    #[test]
    fn has_no_false_negatives_and_about_one_percent_false_positives() {
        let hashes: Vec<u64> = (0..20_000u32).map(|key| hash(&key.to_be_bytes())).collect();
        let filter = Filter::new(build(&hashes, 10).into()).unwrap();
        assert!(hashes.iter().all(|hash| filter.may_contain(*hash)));
        let others = (1_000_000..1_020_000u32).map(|key| hash(&key.to_be_bytes()));
        let wrong = others.filter(|hash| filter.may_contain(*hash)).count();
        assert!(wrong < 500, "{wrong} of 20000");
    }
}
