//! Keeps the levels in shape: [`picker`] decides (pure), [`merge`] writes the new tables, [`run`]
//! is the thread that does one after the other.

pub(crate) mod merge;
pub(crate) mod picker;
pub(crate) mod requests;
pub(crate) mod run;
