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

/// [`take`] at a place, which moves behind it.
#[inline]
pub(crate) fn take_at(input: &[u8], at: &mut usize) -> Option<u64> {
    let first = *input.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(u64::from(first));
    }
    let mut rest = &input[*at..];
    let value = take(&mut rest)?;
    *at = input.len() - rest.len();
    Some(value)
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
                assert_eq!(take(&mut &buffer[..buffer.len() - 1]), None);
            }
        }
    }

    #[test]
    fn refuses_more_than_64_bits() {
        assert_eq!(take(&mut [0xff; 10].as_slice()), None);
        assert_eq!(take(&mut [0x80; 11].as_slice()), None);
    }
}
