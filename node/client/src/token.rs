//! Session tokens (C5): what a session has seen, one position per shard. Opaque bytes to applications.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use prost::encoding::{DecodeContext, decode_key, message, skip_field, uint32, uint64};
use smallvec::{SmallVec, smallvec};

use crate::pb;

const FORMAT: u32 = 1;

/// Positions compare as C5 asks: a later epoch is ahead whatever its LSN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub epoch: u64,
    pub lsn: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    pub topology_version: u64,
    /// Ascending by shard, each shard once. In place as long as there is one: every request and answer has one.
    positions: SmallVec<[(u32, Position); 1]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    Damaged,
    /// Written by a newer client or server.
    Format(u32),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => {
                f.write_str("these bytes are no session token; send back what an answer brought")
            }
            Self::Format(found) => {
                write!(
                    f,
                    "the session token has format {found}, this program knows {FORMAT}: upgrade it"
                )
            }
        }
    }
}

impl Token {
    /// The token of one answer.
    pub fn of(shard: u32, position: Position, topology_version: u64) -> Self {
        Self {
            topology_version,
            positions: smallvec![(shard, position)],
        }
    }

    /// Empty bytes are the token that has seen nothing.
    pub fn decode(bytes: &[u8]) -> Result<Self, TokenError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let (format, token) = Self::read(bytes).map_err(|_| TokenError::Damaged)?;
        if format != FORMAT {
            return Err(TokenError::Format(format));
        }
        Ok(token)
    }

    /// A `SessionToken` and its format; as prost reads it, but for the list of positions in between.
    fn read(mut bytes: &[u8]) -> Result<(u32, Self), prost::DecodeError> {
        let mut format = 0;
        let mut token = Self::default();
        while bytes.has_remaining() {
            let (tag, wire) = decode_key(&mut bytes)?;
            let context = DecodeContext::default();
            match tag {
                1 => uint32::merge(wire, &mut format, &mut bytes, context)?,
                2 => uint64::merge(wire, &mut token.topology_version, &mut bytes, context)?,
                3 => {
                    let mut entry = pb::ShardPosition::default();
                    message::merge(wire, &mut entry, &mut bytes, context)?;
                    let pb::ShardPosition { shard, epoch, lsn } = entry;
                    token.raise(shard, Position { epoch, lsn });
                }
                _ => skip_field(wire, tag, &mut bytes, context)?,
            }
        }
        Ok((format, token))
    }

    pub fn encode(&self) -> Bytes {
        let positions = || {
            let entry = |&(shard, Position { epoch, lsn })| pb::ShardPosition { shard, epoch, lsn };
            self.positions.iter().map(entry)
        };
        let length = uint32::encoded_len(1, &FORMAT)
            + uint64::encoded_len(2, &self.topology_version)
            + positions()
                .map(|entry| message::encoded_len(3, &entry))
                .sum::<usize>();
        // Of just that size: bytes with room to spare would be allocated twice.
        let mut bytes = BytesMut::with_capacity(length);
        uint32::encode(1, &FORMAT, &mut bytes);
        uint64::encode(2, &self.topology_version, &mut bytes);
        for entry in positions() {
            message::encode(3, &entry, &mut bytes);
        }
        bytes.freeze()
    }

    /// What was seen of `shard`; nothing is (0, 0), which every server has.
    pub fn position(&self, shard: u32) -> Position {
        self.find(shard)
            .map_or_else(|_| Position::default(), |at| self.positions[at].1)
    }

    /// All that was seen, by shard.
    pub fn positions(&self) -> impl Iterator<Item = (u32, Position)> + '_ {
        self.positions.iter().copied()
    }

    /// Only the entry of `shard`: what a request to it needs to carry.
    pub fn only(&self, shard: u32) -> Self {
        let positions = self
            .find(shard)
            .map_or_else(|_| SmallVec::new(), |at| smallvec![self.positions[at]]);
        Self {
            topology_version: self.topology_version,
            positions,
        }
    }

    pub fn raise(&mut self, shard: u32, position: Position) {
        match self.find(shard) {
            Ok(at) => self.positions[at].1 = self.positions[at].1.max(position),
            Err(at) => self.positions.insert(at, (shard, position)),
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.topology_version = self.topology_version.max(other.topology_version);
        for &(shard, position) in &other.positions {
            self.raise(shard, position);
        }
    }

    fn find(&self, shard: u32) -> Result<usize, usize> {
        self.positions
            .binary_search_by_key(&shard, |&(shard, _)| shard)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    const fn at(epoch: u64, lsn: u64) -> Position {
        Position { epoch, lsn }
    }

    #[test]
    fn a_later_epoch_is_ahead_and_each_shard_has_one_entry() {
        let mut token = Token::of(3, at(1, 900), 5);
        token.merge(&Token::of(1, at(2, 7), 4));
        token.merge(&Token::of(3, at(2, 10), 6));
        token.merge(&Token::of(3, at(1, 999), 6));
        assert_eq!(Token::decode(&token.encode()), Ok(token.clone()));
        assert_eq!(
            (token.topology_version, token.position(3), token.position(1)),
            (6, at(2, 10), at(2, 7))
        );
        assert_eq!(token.position(2), at(0, 0));
        assert_eq!(token.only(3), Token::of(3, at(2, 10), 6));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        assert_eq!(Token::decode(b""), Ok(Token::default()));
        assert_eq!(Token::decode(b"\xff\xff\xff"), Err(TokenError::Damaged));
        let newer = pb::SessionToken {
            format: 2,
            ..Default::default()
        }
        .encode_to_vec();
        assert_eq!(Token::decode(&newer), Err(TokenError::Format(2)));
    }

    #[test]
    fn the_bytes_are_those_of_the_contract() {
        let mut token = Token::of(0, at(1, 900), 5);
        token.merge(&Token::of(70_000, at(1 << 40, u64::MAX), 4));
        let message = pb::SessionToken::decode(token.encode()).unwrap();
        let position = |shard, epoch, lsn| pb::ShardPosition { shard, epoch, lsn };
        let written = pb::SessionToken {
            format: 1,
            topology_version: 5,
            positions: vec![position(0, 1, 900), position(70_000, 1 << 40, u64::MAX)],
        };
        assert_eq!(message, written);
        assert_eq!(Token::decode(&written.encode_to_vec()), Ok(token));
        let mut longer = written.encode_to_vec();
        longer.extend([0x20, 1]);
        assert!(
            Token::decode(&longer).is_ok(),
            "an unknown field is no damage"
        );
        longer.pop();
        assert_eq!(Token::decode(&longer), Err(TokenError::Damaged));
    }
}
