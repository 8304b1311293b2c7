//! This node's copy of the cluster's view, filled by heartbeats and read by every request.

pub use aidb_client::{TopologyCell, View};
