//! The tokens that clients may show. Only their SHA-256 is known here; they are random and long, so that no slow hash is
//! needed to keep them secret.
//!
//! A shown token is hashed at each call, a quarter of a microsecond: a cache of tokens that were good a moment ago would
//! have to be looked up as well, and to forget what is revoked or expires. The hash finds its entry by the first eight
//! bytes and is then compared in constant time.

use std::collections::HashMap;
use std::sync::Arc;

use aidb_client::pb::Access;
use ring::digest::SHA256;
use subtle::ConstantTimeEq;

use super::scope::Scope;

/// Of a token, by SHA-256.
pub type Digest = [u8; 32];

#[derive(Clone, Debug)]
pub struct Token {
    pub name: Arc<str>,
    pub sha256: Digest,
    pub access: Access,
    /// Milliseconds since 1970; 0 = never.
    pub expires_ms: u64,
    /// None: all keys.
    pub scope: Option<Arc<Scope>>,
}

#[derive(Default)]
pub struct Tokens {
    by_prefix: HashMap<u64, Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Unknown,
    Expired,
}

impl Tokens {
    pub fn new(tokens: Vec<Token>) -> Self {
        Self {
            by_prefix: tokens
                .into_iter()
                .map(|token| (prefix(&token.sha256), token))
                .collect(),
        }
    }

    /// The token with the hash `shown`, if it is good.
    pub fn find(&self, shown: &Digest, now_ms: u64) -> Result<&Token, Refused> {
        let known = self.by_prefix.get(&prefix(shown));
        let known = known.filter(|known| bool::from(known.sha256.ct_eq(shown)));
        match known {
            None => Err(Refused::Unknown),
            Some(known) if known.expires_ms != 0 && known.expires_ms <= now_ms => {
                Err(Refused::Expired)
            }
            Some(known) => Ok(known),
        }
    }
}

pub fn digest(token: &[u8]) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(ring::digest::digest(&SHA256, token).as_ref());
    digest
}

fn prefix(hash: &Digest) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &[u8], access: Access, expires_ms: u64) -> Token {
        Token {
            name: "".into(),
            sha256: digest(secret),
            access,
            expires_ms,
            scope: None,
        }
    }

    fn access(tokens: &Tokens, secret: &[u8], now_ms: u64) -> Result<Access, Refused> {
        tokens
            .find(&digest(secret), now_ms)
            .map(|token| token.access)
    }

    #[test]
    fn a_token_opens_its_level_until_it_expires() {
        let tokens = Tokens::new(vec![
            token(b"reader", Access::Read, 0),
            token(b"guest", Access::Admin, 1000),
        ]);
        assert_eq!(access(&tokens, b"reader", u64::MAX), Ok(Access::Read));
        assert_eq!(access(&tokens, b"guest", 999), Ok(Access::Admin));
        assert_eq!(access(&tokens, b"guest", 1000), Err(Refused::Expired));
        assert_eq!(access(&tokens, b"readers", 0), Err(Refused::Unknown));
        assert_eq!(access(&tokens, b"", 0), Err(Refused::Unknown));
    }

    #[test]
    fn the_whole_hash_counts() {
        let mut near = token(b"reader", Access::Read, 0);
        near.sha256[31] ^= 1;
        let tokens = Tokens::new(vec![near]);
        assert_eq!(access(&tokens, b"reader", 0), Err(Refused::Unknown));
    }
}
