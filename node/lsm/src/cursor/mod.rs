//! Iteration in one direction over sorted sources. Every source yields each key once. What a cursor
//! stands on is borrowed from where it lies: a step allocates nothing.

mod memtable;
mod merge;
mod skipping;

pub(crate) use memtable::MemtableCursor;
pub(crate) use merge::MergeCursor;
pub(crate) use skipping::skipping;

use crate::error::Result;
use crate::value::ValueRef;

pub(crate) trait Cursor: Send {
    /// Moves to the next key in the cursor's direction, at first to the first one; false when there
    /// is none. After that, or an error, it is not asked again.
    fn advance(&mut self) -> Result<bool>;

    /// Key and value of where the cursor stands.
    fn key(&self) -> &[u8];
    fn value(&self) -> ValueRef<'_>;
}
