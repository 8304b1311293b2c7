//! The physical key: slot (2 bytes, big endian), keyspace (varint), user key. A slot is thus one range of the store,
//! and a keyspace one range of a slot.

use xxhash_rust::xxh3::xxh3_64;

use crate::slots::slot_of;

const MAX_VARINT: usize = 5;

pub fn physical_key(keyspace: u32, key: &[u8]) -> Vec<u8> {
    physical_key_in(slot_of(key), keyspace, key)
}

/// As `physical_key`, when the slot is known already.
pub fn physical_key_in(slot: u16, keyspace: u32, key: &[u8]) -> Vec<u8> {
    let mut physical = Vec::with_capacity(2 + MAX_VARINT + key.len());
    physical.extend_from_slice(&slot.to_be_bytes());
    let mut rest = keyspace;
    while rest >= 0x80 {
        physical.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    physical.push(rest as u8);
    physical.extend_from_slice(key);
    physical
}

/// Slot, keyspace and user key of `physical`; None when it is no physical key.
pub fn parts(physical: &[u8]) -> Option<(u16, u32, &[u8])> {
    let (slot, rest) = physical.split_first_chunk::<2>()?;
    let mut keyspace = 0u32;
    for (index, &byte) in rest.iter().take(MAX_VARINT).enumerate() {
        let low = u32::from(byte & 0x7f);
        keyspace |= low
            .checked_shl(7 * index as u32)
            .filter(|part| part >> (7 * index) == low)?;
        if byte & 0x80 == 0 {
            return Some((u16::from_be_bytes(*slot), keyspace, &rest[index + 1..]));
        }
    }
    None
}

/// The slot of a physical key; None when it is too short for one.
pub fn slot_of_physical(physical: &[u8]) -> Option<u16> {
    physical
        .first_chunk::<2>()
        .map(|slot| u16::from_be_bytes(*slot))
}

/// What cache records name a key by.
pub fn key_hash(physical: &[u8]) -> u64 {
    xxh3_64(physical)
}

/// The first key after all that begin with `prefix`.
pub fn successor(mut prefix: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if last < 0xff {
            prefix.push(last + 1);
            return Some(prefix);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out() {
        for keyspace in [0, 1, 127, 128, 300, 1 << 21, u32::MAX] {
            for key in [&b""[..], b"k", b"{tag}rest", &[0xff; 40]] {
                let physical = physical_key(keyspace, key);
                assert_eq!(parts(&physical), Some((slot_of(key), keyspace, key)));
            }
        }
    }

    #[test]
    fn the_default_keyspace_is_one_zero_byte() {
        assert_eq!(
            physical_key_in(0x1234, 0, b"ab"),
            [0x12, 0x34, 0, b'a', b'b']
        );
    }

    #[test]
    fn damaged_keys_have_no_parts() {
        for damaged in [
            &[][..],
            &[1],
            &[1, 2],
            &[1, 2, 0x80],
            &[1, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[1, 2, 0x80, 0x80, 0x80, 0x80, 0x70],
        ] {
            assert_eq!(parts(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn the_last_keys_have_a_successor_or_none() {
        assert_eq!(successor(vec![1, 0xff]), Some(vec![2]));
        assert_eq!(successor(vec![0xff, 0xff]), None);
    }
}
