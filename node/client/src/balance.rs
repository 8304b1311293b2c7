//! Which cache replica a read goes to: rendezvous hashing by stable name. Each key has its own order of the replicas, so
//! caches add up instead of repeating each other, and a member that comes or goes moves only its own keys.

use xxhash_rust::xxh3::Xxh3;

use crate::pb::Member;

/// By xxh3_64(name, 0x00, key), highest first; ties by name.
pub fn rendezvous_order<'a>(
    members: impl Iterator<Item = &'a Member>,
    key: &[u8],
) -> Vec<&'a Member> {
    let mut scored: Vec<_> = members
        .map(|member| (score(&member.name, key), member))
        .collect();
    scored.sort_unstable_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.name.cmp(&y.name)));
    scored.into_iter().map(|(_, member)| member).collect()
}

fn score(name: &str, key: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(name.as_bytes());
    hash.update(b"\0");
    hash.update(key);
    hash.digest()
}
