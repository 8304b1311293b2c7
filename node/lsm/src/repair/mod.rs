//! Makes a damaged store open again, with as much of its data as there is, and says what is lost.
//!
//! 1. [`survey`] reads every file and finds what is whole. Nothing is written.
//! 2. [`tables`]: with a whole manifest, damaged tables are replaced by what their whole blocks hold,
//!    at the same place. Without one, the order of tables is unknown (a table of a deeper level may
//!    have been written later): all are merged into one level, of each key the highest version, which
//!    per key only grows (V1).
//! 3. [`log`]: cut where its chain breaks; what lies beyond is set aside. When tables were lost, all of
//!    it is replayed: it holds the newest state of every key it names.
//!
//! What is replaced is linked into `lost/` before, and stays there: nothing is ever deleted.

mod log;
mod newest;
mod report;
mod survey;
mod tables;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub use report::{LostRange, LostTable, RepairReport};

use crate::error::{Error, IoContext, Result};
use crate::io::Io;
use crate::manifest::{self, Manifest};
use crate::options::Options;
use crate::shared::{LOG_DIR, TABLE_DIR};
use survey::Survey;

/// Where what is replaced is kept, in the store's directory.
const LOST_DIR: &str = "lost";

/// Reads the whole store in `path` and says what is damaged; with `apply`, repairs it. A store
/// without damage is left as it is. Of the options, those of tables and I/O count.
///
/// Errors: `Locked`, `NotAStore`, `NewerFormat`, `Io`, `DiskFull` (nothing was replaced).
pub fn repair(path: &Path, options: &Options, apply: bool) -> Result<RepairReport> {
    let io = &options.io;
    let names = io.list(path).at(path, "list")?;
    if !names
        .iter()
        .any(|name| name == TABLE_DIR || name == LOG_DIR)
    {
        return Err(Error::NotAStore {
            path: path.to_path_buf(),
        });
    }
    let _lock = crate::store::lock(&**io, path)?;
    let found = survey::survey(io, path)?;
    let mut report = found.report();
    if !apply || report.is_healthy() {
        return Ok(report);
    }
    let inventory = tables::rebuild(io, path, options, &found, &mut report)?;
    for file in found.replaced() {
        set_aside(&**io, path, &file)?;
    }
    log::cut(&**io, path, &found.log)?;
    Manifest::create(io, path, inventory)?;
    for table in found.replaced_tables() {
        io.remove(&table).at(&table, "remove")?;
    }
    let dir = path.join(TABLE_DIR);
    io.sync_dir(&dir).at(&dir, "sync")?;
    report.applied = true;
    Ok(report)
}

/// Links a file into `lost/` under a name that is free, durably.
fn set_aside(io: &dyn Io, store: &Path, file: &Path) -> Result<()> {
    let dir = store.join(LOST_DIR);
    io.create_dir(&dir).at(&dir, "create")?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let taken = io.list(&dir).at(&dir, "list")?;
    let free = (1u64..)
        .map(|number| format!("{name}.{number}"))
        .find(|name| !taken.contains(name))
        .unwrap_or_default();
    let link = dir.join(free);
    io.link(file, &link).at(&link, "link")?;
    io.sync_dir(&dir).at(&dir, "sync")
}

type Numbered<T> = BTreeMap<u64, T>;

impl Survey {
    /// What goes to `lost/`.
    fn replaced(&self) -> Vec<std::path::PathBuf> {
        let mut files = self.replaced_tables();
        if !self.manifest_damage.is_empty() && self.manifest_exists {
            files.push(self.path.join(manifest::FILE_NAME));
        }
        files.extend(self.log.replaced());
        files
    }
}

/// For messages.
fn cache() -> Arc<crate::table::cache::BlockCache> {
    Arc::new(crate::table::cache::BlockCache::new(1 << 20, 4096))
}
