//! The log: records ([`record`]) in frames ([`frame`]) in numbered segment files ([`segments`]),
//! written by [`writer`], read back by [`recovery`] and, while the store runs, by [`reread`], and the
//! newest of them in memory for subscribers ([`tail`]).

pub(crate) mod frame;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod reread;
pub(crate) mod segments;
pub(crate) mod tail;
pub(crate) mod writer;

pub use record::{LogOp, LogOpKind, LogRecord};
pub use segments::LogHold;
pub use tail::Subscription;
