//! Which files make up the store: a file of edits, each synced before what it says is relied on.

mod edit;
mod file;

pub(crate) use edit::{Edit, Inventory, TableInfo};
pub(crate) use file::{FILE_NAME, Manifest, Piece, is_own_name, parse, pieces};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use file::{FORMAT, encode};
