//! The programs of one node: primary, cache replica and router. `serve` is what they share; a role adds its own
//! services. Python hosts one of them per process through `aidb_node._native` (feature `python`) and decides when it
//! starts and stops; no request ever waits for Python.

pub mod primary;
pub mod replica;
pub mod router;
pub mod serve;

#[cfg(feature = "python")]
mod python;
