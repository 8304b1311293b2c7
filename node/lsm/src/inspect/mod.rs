//! Reads the files of a store one by one, damaged ones too: as far as they go, and where they stop.
//! For the store inspector and for repair; nothing here writes.

mod log;
mod manifest;
mod sst;

pub use log::{LogReport, read_log};
pub(crate) use manifest::salvage;
pub use manifest::{KeyInterval, ManifestEdit, ManifestReport, TableEntry, read_manifest};
pub(crate) use sst::walk;
pub use sst::{BlockReport, SstEntry, SstProperties, SstReport, read_sst};
