//! AiDb's storage engine: a log-structured merge tree with group commit.
//!
//! ```text
//! write path: batch -> commit queue -> committer (gate, conditions, LSN) -> log -> memtable
//!                                      -> syncer (fdatasync) -> visible, answered, in the tail
//! read path:  view = memtables + levels of SSTs, read at one LSN
//! background: memtable -> flush -> L0 -> compaction -> L1 ...; the manifest says which files count
//! ```
//!
//! Blocking calls and callbacks; no async runtime, no network, no knowledge of slots.

mod batch;
mod commit;
mod compaction;
mod counters;
mod cursor;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod decoders;
mod error;
mod events;
mod flush;
mod ingest;
pub mod inspect;
mod interleave;
pub mod io;
mod log;
mod manifest;
mod memtable;
mod newest;
mod options;
mod poison;
mod prefetch;
mod pressure;
mod progress;
mod range;
mod repair;
mod shared;
mod skiplist;
mod snapshot;
mod spans;
mod store;
mod table;
mod value;
mod varint;
mod version;
mod view;
mod waits;

pub use batch::{
    Batch, Committed, Condition, Entry, Gate, Op, OpKind, Outcome, RequestId, Verdict,
};
pub use commit::import::Import;
pub use error::{Error, Result};
pub use ingest::{Ingested, SstFile, SstWriter};
pub use log::{LogHold, LogOp, LogOpKind, LogRecord, Subscription};
pub use options::{Clock, Compression, Options, SyncMode, SystemClock};
pub use range::{Direction, Range};
pub use repair::{LostRange, LostTable, RepairReport, repair};
pub use snapshot::{EntryRef, Scan, Snapshot};
pub use store::{Checkpoint, CheckpointFile, Damage, LevelStats, Read, Stats, Store, VerifyReport};
