//! LEB128 varints, as protobuf has them.

pub(crate) fn put(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

pub(crate) fn len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Takes a varint off the front; `None` when it is cut short or longer than 64 bits.
pub(crate) fn take(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().take(10).enumerate() {
        let part = u64::from(byte & 0x7f);
        if index == 9 && part > 1 {
            return None;
        }
        value |= part << (7 * index);
        if byte < 0x80 {
            *input = &input[index + 1..];
            return Some(value);
        }
    }
    None
}

/// [`take`] at a place, which moves behind it. Where eight bytes are at hand, without a loop.
#[inline]
pub(crate) fn take_at(input: &[u8], at: &mut usize) -> Option<u64> {
    const ENDS: u64 = 0x8080_8080_8080_8080;
    if let Some(&word) = input.get(*at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(word);
        let ends = !word & ENDS;
        if ends != 0 {
            let bits = ends.trailing_zeros() + 1;
            *at += bits as usize / 8;
            return Some(squeeze(word & (u64::MAX >> (64 - bits))));
        }
    }
    let mut rest = input.get(*at..)?;
    let value = take(&mut rest)?;
    *at = input.len() - rest.len();
    Some(value)
}

/// The lower seven bits of each byte, side by side: pairs, then pairs of pairs.
#[inline]
fn squeeze(word: u64) -> u64 {
    let word = (word & 0x007f_007f_007f_007f) | ((word & 0x7f00_7f00_7f00_7f00) >> 1);
    let word = (word & 0x0000_3fff_0000_3fff) | ((word & 0x3fff_0000_3fff_0000) >> 2);
    (word & 0x0000_0000_0fff_ffff) | ((word & 0x0fff_ffff_0000_0000) >> 4)
}

/// Takes a length and that many bytes.
pub(crate) fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take(input)?).ok()?;
    let (head, tail) = input.split_at_checked(length)?;
    *input = tail;
    Some(head)
}

pub(crate) fn put_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    put(buffer, bytes.len() as u64);
    buffer.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_knows_its_length() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut buffer = Vec::new();
                put(&mut buffer, value);
                assert_eq!(buffer.len(), len(value));
                assert_eq!(take(&mut buffer.as_slice()), Some(value));
                for behind in [0, 20] {
                    let padded = [vec![0xff; 3], buffer.clone(), vec![0xff; behind]].concat();
                    let mut at = 3;
                    assert_eq!(take_at(&padded, &mut at), Some(value));
                    assert_eq!(at, 3 + buffer.len());
                }
                assert_eq!(take_at(&buffer[..buffer.len() - 1], &mut 0), None);
                assert_eq!(take(&mut &buffer[..buffer.len() - 1]), None);
            }
        }
    }

    #[test]
    fn refuses_more_than_64_bits() {
        assert_eq!(take(&mut [0xff; 10].as_slice()), None);
        assert_eq!(take_at(&[0xff; 20], &mut 5), None);
        assert_eq!(take_at(&[0; 5], &mut 9), None);
        assert_eq!(take(&mut [0x80; 11].as_slice()), None);
    }
}
