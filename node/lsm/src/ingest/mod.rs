//! Files made elsewhere become part of the store.
//!
//! 1. [`writer`]: anybody writes a table whose LSN is left open.
//! 2. [`stage`]: the file is linked into the store under a number of its own and read whole. No
//!    manifest names it yet: a crash leaves a file that the next open removes.
//! 3. [`commit`]: the committer flushes what is older, logs one record that names the files by their
//!    SHA-256, and installs them with one edit, before anything newer is sequenced.
//!
//! A crash between the record and the edit is completed by the next open ([`replay`]): the record is
//! in the log, so the files are in the store.

pub(crate) mod commit;
pub(crate) mod replay;
pub(crate) mod stage;
mod writer;

pub use stage::Ingested;
pub use writer::{SstFile, SstWriter};
