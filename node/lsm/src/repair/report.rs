use std::path::PathBuf;

use crate::store::Damage;

/// What a repair found, and what it does or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Empty when the store is whole.
    pub damage: Vec<Damage>,
    /// The manifest was lost or damaged: the levels were made anew from all tables.
    pub rebuilt: bool,
    pub tables: u64,
    pub records: u64,
    /// Tables of which something is missing, with what that is.
    pub lost_tables: Vec<LostTable>,
    /// Records after the first LSN through (at least) the second are gone from the log.
    pub lost_records: Option<(u64, u64)>,
    /// Of the store as repaired: its newest record's LSN, epoch and clock (ms).
    pub lsn: u64,
    pub epoch: u64,
    pub clock_ms: u64,
    /// What else the owner has to know.
    pub notes: Vec<String>,
    /// The store was changed; else this is what would be done.
    pub applied: bool,
}

/// Keys after the first (`None`: from the beginning) through the second (`None`: to the end).
pub type LostRange = (Option<Vec<u8>>, Option<Vec<u8>>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LostTable {
    pub file: PathBuf,
    pub last_lsn: Option<u64>,
    /// Entries in it by its properties or the manifest.
    pub entries: Option<u64>,
    pub saved_entries: u64,
    /// Older values of keys in these ranges may show instead.
    pub ranges: Vec<LostRange>,
}

impl RepairReport {
    pub fn is_healthy(&self) -> bool {
        self.damage.is_empty()
    }
}
