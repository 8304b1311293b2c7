//! All that the engine asks of a file system. Small, so that tests can put one underneath that
//! forgets unsynced bytes, fails the n-th call or fills up.

mod real;

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use real::RealIo;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new file; replaces what has the name.
    Create,
}

pub trait Io: Send + Sync {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn IoFile>>;
    /// Replaces `to` atomically. Durable after `sync_dir` of the parent.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Names of the entries; `NotFound` when the directory is missing.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// The directory and its missing parents, durably.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Exclusive until the value is dropped; `WouldBlock` while another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
}

pub trait IoFile: Send + Sync {
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Bytes read; fewer than asked only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Reserves space through `length`, so that later writes there cannot find the disk full.
    fn preallocate(&self, length: u64) -> io::Result<()>;
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// fdatasync: the data, and of the metadata what reading it back needs.
    fn sync(&self) -> io::Result<()>;
}
