//! Session tokens (C5): what a session has seen, one position per shard. Opaque bytes to applications.

use std::fmt;

use bytes::Bytes;
use prost::Message;

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
    /// Ascending by shard, each shard once.
    positions: Vec<(u32, Position)>,
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
            positions: vec![(shard, position)],
        }
    }

    /// Empty bytes are the token that has seen nothing.
    pub fn decode(bytes: &[u8]) -> Result<Self, TokenError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let message = pb::SessionToken::decode(bytes).map_err(|_| TokenError::Damaged)?;
        if message.format != FORMAT {
            return Err(TokenError::Format(message.format));
        }
        let mut token = Self {
            topology_version: message.topology_version,
            positions: Vec::new(),
        };
        for entry in message.positions {
            token.raise(
                entry.shard,
                Position {
                    epoch: entry.epoch,
                    lsn: entry.lsn,
                },
            );
        }
        Ok(token)
    }

    pub fn encode(&self) -> Bytes {
        let positions = self
            .positions
            .iter()
            .map(|&(shard, Position { epoch, lsn })| pb::ShardPosition { shard, epoch, lsn });
        let message = pb::SessionToken {
            format: FORMAT,
            topology_version: self.topology_version,
            positions: positions.collect(),
        };
        message.encode_to_vec().into()
    }

    /// What was seen of `shard`; nothing is (0, 0), which every server has.
    pub fn position(&self, shard: u32) -> Position {
        self.find(shard)
            .map_or_else(|_| Position::default(), |at| self.positions[at].1)
    }

    /// Only the entry of `shard`: what a request to it needs to carry.
    pub fn only(&self, shard: u32) -> Self {
        let positions = self
            .find(shard)
            .map_or_else(|_| Vec::new(), |at| vec![self.positions[at]]);
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
}
