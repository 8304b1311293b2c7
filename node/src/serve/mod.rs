//! What primary, replica and router share: listeners, admission, the copy of the topology, the lease, heartbeats,
//! discovery, health and stopping.
//!
//! `Host` owns the threads; `Node` is the state that every request sees; a `Role` adds what makes the difference.

mod admin;
mod admission;
mod clock;
mod coordinator;
mod discovery;
mod errors;
mod event;
mod health;
mod heartbeat;
mod host;
mod lease;
mod listen;
mod node;
mod options;
mod pipeline;
mod process;
mod role;
mod shares;
pub mod stack;
mod topology;

pub use admission::{Admitted, Deadline, Phase, busy};
pub use clock::{boottime_ns, wall_ms};
pub use coordinator::Registration;
pub use errors::StartError;
pub use event::Event;
pub use host::Host;
pub use lease::Lease;
pub use listen::listen;
pub use node::Node;
pub use options::{DEFAULT_THREADS, Identity, Limits, ServeOptions};
pub use pipeline::pipeline;
pub use process::{cpu_us, resident_bytes};
pub use role::{Grant, Report, Role};
pub use topology::{TopologyCell, View};
