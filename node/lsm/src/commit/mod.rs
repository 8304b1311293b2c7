//! The write path: writers put batches into the [`queue`]; one committer takes them in groups,
//! judges them ([`judge`]), appends and inserts ([`committer`]); one syncer makes groups durable
//! while the next one forms, then shows and answers them in LSN order ([`syncer`]).
//!
//! A thread of its own instead of a leader among the writers: a leader that is an async task
//! strands its followers when its future is dropped, and conditions, ownership and LSNs have one
//! place where they are decided.

pub(crate) mod answer;
pub(crate) mod committer;
mod ingest;
pub(crate) mod judge;
pub(crate) mod queue;
pub(crate) mod syncer;
