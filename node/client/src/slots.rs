//! Slots: where a key lives. Redis Cluster's function, with its hash tags and test vectors.

pub const SLOT_COUNT: u16 = 16384;

/// CRC16/XMODEM: polynomial 0x1021, nothing reflected, starting at 0. `CRC16[n][byte]` is what a byte does to the sum
/// when `n` more follow it: eight bytes are looked up side by side (slicing-by-8, Kounavis and Berry 2005), since one
/// after the other each waits for the one before.
static CRC16: [[u16; 256]; 8] = {
    let mut tables = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut more = 1;
    while more < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[more - 1][byte];
            tables[more][byte] = (crc << 8) ^ tables[0][(crc >> 8) as usize];
            byte += 1;
        }
        more += 1;
    }
    tables
};

fn crc16(bytes: &[u8]) -> u16 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(0u16, |crc, eight| {
        let mut eight = *eight;
        eight[0] ^= (crc >> 8) as u8;
        eight[1] ^= crc as u8;
        let tables = CRC16.iter().rev();
        let parts = tables
            .zip(eight)
            .map(|(table, byte)| table[usize::from(byte)]);
        parts.fold(0, |crc, part| crc ^ part)
    });
    rest.iter().fold(crc, |crc, byte| {
        (crc << 8) ^ CRC16[0][usize::from((crc >> 8) as u8 ^ byte)]
    })
}

/// What decides the slot of `key`: the part between the first `{` and the next `}` if not empty, else all of it.
pub fn hash_tag(key: &[u8]) -> &[u8] {
    tag(key).unwrap_or(key)
}

pub fn slot_of(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOT_COUNT
}

/// The one slot that holds every key with `prefix`; None when such keys are spread over slots.
pub fn slot_of_prefix(prefix: &[u8]) -> Option<u16> {
    tag(prefix).map(|tag| crc16(tag) % SLOT_COUNT)
}

fn tag(key: &[u8]) -> Option<&[u8]> {
    let rest = &key[key.iter().position(|&byte| byte == b'{')? + 1..];
    match rest.iter().position(|&byte| byte == b'}') {
        None | Some(0) => None,
        Some(end) => Some(&rest[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_crc() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn eight_bytes_at_once_are_eight_bytes() {
        let bytes: Vec<u8> = (0..100u8).map(|at| at.wrapping_mul(151) ^ 0x5a).collect();
        for length in 0..bytes.len() {
            let one_by_one = bytes[..length].iter().fold(0u16, |crc, byte| {
                (crc << 8) ^ CRC16[0][usize::from((crc >> 8) as u8 ^ byte)]
            });
            assert_eq!(crc16(&bytes[..length]), one_by_one, "{length} bytes");
        }
    }

    #[test]
    fn a_tag_in_the_prefix_fixes_the_slot() {
        assert_eq!(slot_of_prefix(b"{user7}:"), Some(slot_of(b"{user7}:name")));
        assert_eq!(slot_of_prefix(b"user7"), None);
        assert_eq!(slot_of_prefix(b"{}x"), None);
        assert_eq!(slot_of_prefix(b"{user7"), None);
    }
}
