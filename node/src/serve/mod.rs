//! What primary, replica and router share: listeners, admission, the copy of the topology, the lease, heartbeats,
//! discovery, health, security and stopping.
//!
//! `Host` owns the threads; `Node` is the state that every request sees; a `Role` adds what makes the difference.

mod admin;
mod admission;
mod ahead;
mod answers;
mod clock;
mod committing;
mod connection;
mod coordinator;
mod discovery;
mod errors;
mod event;
mod expected;
mod health;
mod heartbeat;
mod host;
mod incoming;
mod lease;
mod listen;
mod load;
mod message;
mod node;
mod observed;
mod options;
mod origin;
mod pages;
mod pipeline;
mod places;
mod process;
mod role;
mod scoped;
mod security;
mod shares;
mod spread;
pub mod stack;
mod tally;
mod topology;
mod unary;
mod uploads;

pub use admission::{Admitted, Deadline, Inside, Phase, busy, busy_for};
pub use answers::{carried, committing, hold};
pub use clock::{boottime_ns, wall_ms};
pub use coordinator::Registration;
pub use errors::StartError;
pub use event::Event;
pub use expected::whole;
pub use host::Host;
pub use lease::Lease;
pub use listen::listen;
pub use load::{Load, Meter, Sampled};
pub use node::Node;
pub use observed::{Observed, Trace, Watched};
pub use options::{DEFAULT_THREADS, Identity, Limits, ServeOptions};
pub use origin::Origin;
pub use pages::keep_small as keep_small_pages;
pub use pipeline::{Answer, Begun, Gets, Puts, Requests, pipeline};
pub use places::{Place, Places};
pub use process::{cpu_us, resident_bytes};
pub use role::{Grant, Report, Role};
pub use scoped::storage_service;
pub use security::{Caller, Scope, Security, Token};
pub use topology::{TopologyCell, View};
pub use unary::Unary;
