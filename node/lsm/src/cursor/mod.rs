//! Iteration in one direction over sorted sources. Every source yields each key once.

mod memtable;
mod merge;
mod skipping;

pub(crate) use memtable::MemtableCursor;
pub(crate) use merge::MergeCursor;
pub(crate) use skipping::skipping;

use bytes::Bytes;

use crate::error::Result;
use crate::value::Value;

pub(crate) trait Cursor: Send {
    /// The next key in the cursor's direction; after an error or `None` it is not asked again.
    fn next(&mut self) -> Result<Option<(Bytes, Value)>>;
}
