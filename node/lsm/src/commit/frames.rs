use bytes::{Bytes, BytesMut};

/// Small groups share pieces of memory of this size. Not larger: who reads values of one piece on
/// several cores counts references in one place.
const PIECE_BYTES: usize = 16 << 10;
/// A larger group has memory of its own: at most an eighth of a piece is left unused.
const LARGE_BYTES: usize = PIECE_BYTES / 8;

/// Where frames and values stay while a memtable or the tail has parts of them. An allocation for
/// each small group would cost the committer, and the flusher that frees it, more than what it holds.
#[derive(Default)]
pub(crate) struct Frames {
    piece: BytesMut,
}

impl Frames {
    /// What is in `buffer`, for as long as somebody has a part of it; `buffer` is empty afterwards.
    pub(crate) fn keep_all(&mut self, buffer: &mut Vec<u8>) -> Bytes {
        if buffer.len() > LARGE_BYTES {
            return std::mem::take(buffer).into();
        }
        let kept = self.keep(buffer);
        buffer.clear();
        kept
    }

    /// The bytes, for as long as somebody has a part of them.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() || bytes.len() > LARGE_BYTES {
            return Bytes::copy_from_slice(bytes);
        }
        if self.piece.capacity() < bytes.len() {
            self.piece = BytesMut::with_capacity(PIECE_BYTES);
        }
        self.piece.extend_from_slice(bytes);
        self.piece.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_as_it_was() {
        let mut frames = Frames::default();
        let mut buffer = Vec::new();
        let mut kept = Vec::new();
        for length in (0..LARGE_BYTES + 100).step_by(37) {
            buffer.resize(length, length as u8);
            kept.push((length, frames.keep(&buffer)));
            kept.push((length, frames.keep_all(&mut buffer)));
            assert!(buffer.is_empty());
        }
        for (length, bytes) in kept {
            assert_eq!(bytes, vec![length as u8; length]);
        }
    }
}
