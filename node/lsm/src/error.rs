use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

pub type Result<T> = std::result::Result<T, Error>;

/// Cloneable, because one failed sync answers every writer of its group.
#[derive(Debug, Clone, Error)]
pub enum Error {
    #[error("{op} {}: {source}", path.display())]
    Io {
        path: PathBuf,
        op: &'static str,
        source: Arc<io::Error>,
    },
    /// Nothing of the request was applied; the store works again when there is space.
    #[error("no space left for {}", path.display())]
    DiskFull { path: PathBuf },
    #[error("{} is damaged at byte {offset}: {what}", file.display())]
    Corruption {
        file: PathBuf,
        offset: u64,
        what: String,
    },
    /// The store refuses writes until it is opened again; reads of what is safe go on.
    #[error("the store refuses writes: {0}")]
    Poisoned(String),
    #[error("{} is in use by another process", path.display())]
    Locked { path: PathBuf },
    #[error("{} is not a store", path.display())]
    NotAStore { path: PathBuf },
    #[error("{} has format {found}, this program knows up to {supported}", path.display())]
    NewerFormat {
        path: PathBuf,
        found: u32,
        supported: u32,
    },
    /// The records after `asked` are no longer in memory, or `asked` is no record's LSN.
    #[error("no chain of records continues at lsn {asked}; the oldest continues at {oldest}")]
    Gap { asked: u64, oldest: u64 },
    #[error("the commit queue is full")]
    Busy,
    /// Writers are held back for longer than they may be kept waiting; nothing was done.
    #[error("writes are refused: {0}")]
    Stalled(&'static str),
    #[error("the store is closed")]
    Closed,
    #[error("too large: {0}")]
    TooLarge(String),
    #[error("invalid request: {0}")]
    Invalid(String),
}

impl Error {
    pub(crate) fn io(path: &Path, op: &'static str, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::DiskFull {
                path: path.to_path_buf(),
            },
            _ => Error::Io {
                path: path.to_path_buf(),
                op,
                source: Arc::new(source),
            },
        }
    }

    pub(crate) fn corruption(file: &Path, offset: u64, what: impl Into<String>) -> Error {
        Error::Corruption {
            file: file.to_path_buf(),
            offset,
            what: what.into(),
        }
    }
}

/// Adds the path and the operation to an `io::Error`.
pub(crate) trait IoContext<T> {
    fn at(self, path: &Path, op: &'static str) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, path: &Path, op: &'static str) -> Result<T> {
        self.map_err(|source| Error::io(path, op, source))
    }
}
