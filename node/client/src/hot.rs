//! Keys that a cache has said are hot: so much of what it is asked for that their readers had better spread over all of the
//! shard's caches. No I/O; times are seconds of one clock.

use std::collections::HashMap;

use bytes::Bytes;

/// A cache looks at one read in 32: so long it may take until it says so again.
const KEPT: f64 = 60.0;
/// Of one client; a key is hot only with one in 16 of what a cache is asked for, so there are few.
const MOST: usize = 256;

#[derive(Default)]
pub struct HotKeys {
    until: HashMap<Bytes, f64>,
}

impl HotKeys {
    /// Beyond `MOST` the one that was heard of longest ago gives way.
    pub fn told(&mut self, key: &Bytes, now: f64) {
        if self.until.len() >= MOST && !self.until.contains_key(key) {
            self.until.retain(|_, until| *until > now);
            let oldest = self.until.iter().min_by(|a, b| a.1.total_cmp(b.1));
            let gone = oldest.map(|(key, _)| key.clone());
            if let Some(gone) = gone.filter(|_| self.until.len() >= MOST) {
                self.until.remove(&gone);
            }
        }
        // Copied: the key may be a part of a large request.
        self.until.insert(Bytes::copy_from_slice(key), now + KEPT);
    }

    pub fn contains(&mut self, key: &[u8], now: f64) -> bool {
        match self.until.get(key) {
            Some(until) if *until > now => true,
            Some(_) => {
                self.until.remove(key);
                false
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_key_is_remembered_for_a_minute() {
        let mut hot = HotKeys::default();
        assert!(!hot.contains(b"k", 0.0));
        hot.told(&Bytes::from_static(b"k"), 0.0);
        assert!(hot.contains(b"k", 59.0) && !hot.contains(b"other", 59.0));
        hot.told(&Bytes::from_static(b"k"), 59.0);
        assert!(hot.contains(b"k", 100.0));
        assert!(!hot.contains(b"k", 120.0));
        assert!(hot.until.is_empty());
    }

    #[test]
    fn so_many_and_no_more() {
        let mut hot = HotKeys::default();
        for number in 0..1_000u32 {
            hot.told(
                &Bytes::copy_from_slice(&number.to_be_bytes()),
                f64::from(number) / 100.0,
            );
        }
        assert_eq!(hot.until.len(), MOST);
        assert!(hot.contains(&999u32.to_be_bytes(), 10.0));
        assert!(!hot.contains(&0u32.to_be_bytes(), 10.0));
    }
}
