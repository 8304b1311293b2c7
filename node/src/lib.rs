//! The programs of one node: primary, cache replica and router. `serve` is what they share; a role adds its own
//! services. Python hosts one of them per process through `aidb_node._native` (feature `python`) and decides when it
//! starts and stops; no request ever waits for Python.

pub mod primary;
pub mod replica;
pub mod router;
pub mod serve;

#[cfg(feature = "python")]
mod python;

/// Requests and answers are made on one thread and often dropped on another, which glibc's allocator pays for with locks:
/// a fifth of a unary call's time.
#[cfg(feature = "python")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
