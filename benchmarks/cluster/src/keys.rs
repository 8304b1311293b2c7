//! What is written and read: numbered keys of 16 bytes, values of one size that do not compress.

use bytes::Bytes;

const KEY_BYTES: usize = 16;

/// A set of keys; cheap to clone.
#[derive(Clone, Debug)]
pub struct Keys {
    first: u64,
    count: u64,
    value: Bytes,
}

impl Keys {
    pub fn new(count: u64, value_bytes: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(1);
        let value: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(value_bytes)
            .collect();
        Self {
            first: 0,
            count: count.max(1),
            value: value.into(),
        }
    }

    /// As many others: those with the next numbers.
    pub fn next(&self) -> Self {
        Self {
            first: self.first + self.count,
            ..self.clone()
        }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    /// The key with that number, modulo the set's size.
    pub fn key(&self, number: u64) -> Bytes {
        let mut key = *b"key-000000000000";
        let mut rest = self.first + number % self.count;
        for digit in key.iter_mut().rev() {
            if rest == 0 {
                break;
            }
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Bytes::copy_from_slice(&key[..KEY_BYTES])
    }

    pub fn value(&self) -> Bytes {
        self.value.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_within_the_set() {
        let keys = Keys::new(1000, 100);
        assert_eq!(keys.key(0), "key-000000000000");
        assert_eq!(keys.key(1042), "key-000000000042");
        assert_eq!(keys.next().key(42), "key-000000001042");
        assert_eq!(keys.value().len(), 100);
    }
}
