//! Contracts and routing client of AiDb.
//!
//! Pure: `access`, `slots`, `key`, `token`, `error`, `policy`, `balance`, `ejection`, `hedge`, `latency`,
//! `view`. Shared state: `topology`. I/O: `pool`, `tls`, `call`.

pub mod access;
pub mod balance;
pub mod call;
pub mod codec;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod decoders;
pub mod ejection;
pub mod error;
pub mod hedge;
pub mod hot;
pub mod key;
pub mod latency;
pub mod pb;
pub mod policy;
pub mod pool;
pub mod retry;
pub mod slots;
pub mod tls;
pub mod token;
pub mod topology;
pub mod view;

pub use key::{key_hash, physical_key};
pub use slots::{SLOT_COUNT, slot_of};
pub use token::{Position, Token};
pub use topology::TopologyCell;
pub use view::View;
