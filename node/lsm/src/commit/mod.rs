//! The write path: writers put batches into the [`queue`]; the committer's thread takes them in
//! groups, judges them ([`judge`]), appends and inserts ([`committer`]); one syncer makes groups
//! durable while the next one forms, then shows and answers them in LSN order ([`syncer`]).
//!
//! A caller that blocks anyway ([`crate::Store::write`]) and finds the queue empty takes the
//! committer's lock and commits its own batch: waking a thread and being woken costs several times
//! what a small commit does; one put or delete then needs no more than [`single`]. Work leaves the queue only under that lock, so none is overtaken.
//! Callers that must not block ([`crate::Store::submit`]) always queue. Rejected: a leader that
//! commits for others and may be an async task: it strands its followers when its future is dropped.

pub(crate) mod answer;
mod apply;
pub(crate) mod committer;
mod frames;
pub(crate) mod import;
mod ingest;
pub(crate) mod judge;
pub(crate) mod queue;
pub(crate) mod single;
pub(crate) mod syncer;
