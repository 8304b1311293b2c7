//! Who may connect, and who may call what.
//!
//! `incoming` makes TLS connections of accepted ones and tells programs from clients by certificate (`refusals` tells of
//! the rest); `tokens` holds the clients' tokens as hashes; `guard` stands before every service and asks both. `scope` is
//! what a token is limited to: the guard leaves it with the request, and whoever reads the message asks it. All of it
//! exists only where security is on; the plain path does not know it.

mod guard;
mod incoming;
mod refusals;
mod scope;
mod tokens;

use std::sync::Arc;

use aidb_client::tls::{BadCredentials, Credentials, Pem};
use arc_swap::ArcSwap;

pub use guard::{Caller, GuardLayer, Who};
pub use incoming::secured;
pub use refusals::Refusals;
pub use scope::{Reaching, Scope};
pub use tokens::{Token, Tokens};

pub struct Security {
    pub credentials: Arc<Credentials>,
    tokens: ArcSwap<Tokens>,
}

impl Security {
    pub fn new(pem: &Pem<'_>, domain: &str, tokens: Vec<Token>) -> Result<Self, BadCredentials> {
        Ok(Self {
            credentials: Arc::new(Credentials::new(pem, domain)?),
            tokens: ArcSwap::from_pointee(Tokens::new(tokens)),
        })
    }

    /// Calls from now on are judged by these.
    pub fn set_tokens(&self, tokens: Vec<Token>) {
        self.tokens.store(Arc::new(Tokens::new(tokens)));
    }
}
