//! Contracts and routing client of AiDb.
//!
//! Pure: `slots`, `key`, `token`, `error`, `policy`, `balance`, `view`, `plan`. With I/O: `topology` (the shared copy and
//! its watch), `pool` (connections), `router` (the calls).

pub mod error;
pub mod key;
pub mod pb;
pub mod policy;
pub mod slots;
pub mod token;
