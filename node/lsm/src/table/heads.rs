//! Keys in order, as numbers that lie close together: a search compares these, and whole keys only where they are equal.

/// Bytes that all keys begin with, and of each key those that follow: as many as a number holds. (With eight, most keys
/// of a slot look alike.)
pub(crate) struct Heads {
    shared: usize,
    /// The first of the shared bytes, here: the keys lie elsewhere.
    prefix: [u8; PREFIX],
    heads: Box<[u128]>,
}

const PREFIX: usize = 16;

/// The first bytes as a number that compares like them; what is missing counts as zero.
fn head(key: &[u8]) -> u128 {
    let mut bytes = [0; size_of::<u128>()];
    let length = key.len().min(bytes.len());
    bytes[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(bytes)
}

impl Heads {
    /// Of `count` keys.
    pub(crate) fn new<'a>(count: usize, key: impl Fn(usize) -> &'a [u8]) -> Heads {
        if count == 0 {
            return Heads {
                shared: 0,
                prefix: [0; PREFIX],
                heads: Box::default(),
            };
        }
        let last = key(count - 1);
        let pairs = key(0).iter().zip(last);
        let shared = pairs.take_while(|(a, b)| a == b).count();
        // Keys of a damaged file may not ascend, and then not share either.
        let beyond = |at| head(key(at).get(shared..).unwrap_or(&[]));
        let mut prefix = [0; PREFIX];
        let kept = shared.min(PREFIX);
        prefix[..kept].copy_from_slice(&last[..kept]);
        Heads {
            shared,
            prefix,
            heads: (0..count).map(beyond).collect(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.heads)
    }

    /// How many keys are before `wanted`: those for which `is_before` holds, which compares with it. `key`: of any
    /// index below `count`.
    pub(crate) fn before<'a>(
        &self,
        wanted: &[u8],
        key: impl Fn(usize) -> &'a [u8],
        is_before: impl Fn(&[u8]) -> bool,
    ) -> usize {
        if self.heads.is_empty() {
            return 0;
        }
        let prefix = match self.prefix.get(..self.shared) {
            Some(prefix) => prefix,
            None => &key(0)[..self.shared],
        };
        let Some(rest) = wanted.strip_prefix(prefix) else {
            return if wanted < prefix { 0 } else { self.heads.len() };
        };
        let head = head(rest);
        let first = self.heads.partition_point(|other| *other < head);
        let equal = self.heads[first..].partition_point(|other| *other == head);
        let (mut low, mut high) = (first, first + equal);
        while low < high {
            let middle = low.midpoint(high);
            if is_before(key(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_like_a_search_through_whole_keys() {
        for prefix in ["", "some-prefix-", "a-prefix-longer-than-what-is-kept-"] {
            let mut keys: Vec<String> = (0..300)
                .map(|at| format!("{prefix}{}", at * 37 % 1000))
                .collect();
            keys.extend(["a".repeat(20), "a".repeat(8)].map(|key| format!("{prefix}{key}")));
            keys.sort();
            let heads = Heads::new(keys.len(), |at| keys[at].as_bytes());
            let others = ["", "zzz", "some", "some-prefix-5", "aaaaaaaaaa"].map(String::from);
            for wanted in keys.iter().chain(&others) {
                let wanted = wanted.as_bytes();
                let key = |at: usize| keys[at].as_bytes();
                let less = heads.before(wanted, key, |key| key < wanted);
                assert_eq!(less, keys.partition_point(|key| key.as_bytes() < wanted));
                let most = heads.before(wanted, key, |key| key <= wanted);
                assert_eq!(most, keys.partition_point(|key| key.as_bytes() <= wanted));
            }
        }
    }
}
