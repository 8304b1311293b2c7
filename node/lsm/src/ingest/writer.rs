use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::stage::sha256;
use crate::error::{Error, IoContext, Result};
use crate::io::Io;
use crate::options::Options;
use crate::table::TableWriter;
use crate::value::{Value, ValueRef};

/// Writes a table for [`crate::Store::ingest`].
pub struct SstWriter {
    io: Arc<dyn Io>,
    path: PathBuf,
    writer: TableWriter,
    last: Vec<u8>,
    entries: u64,
}

/// A complete and durable file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SstFile {
    pub path: PathBuf,
    pub entries: u64,
    pub bytes: u64,
    pub sha256: [u8; 32],
}

impl SstWriter {
    /// A new file at `path`; what had the name keeps its contents wherever it is linked. Of the options, those of blocks, filters,
    /// compression and I/O count.
    pub fn create(path: &Path, options: &Options) -> Result<SstWriter> {
        let io = Arc::clone(&options.io);
        // A store may have linked the file of that name: it must not be truncated.
        match io.remove(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io(path, "remove", error));
            }
            _ => {}
        }
        Ok(SstWriter {
            writer: TableWriter::create(&*io, path, &options.config())?,
            io,
            path: path.to_path_buf(),
            last: Vec::new(),
            entries: 0,
        })
    }

    /// Keys ascend. `version` is what readers and conditions see (V1); `expires_at_ms` 0 = never.
    ///
    /// Errors: `Invalid` (order, an empty key, version 0), `Io`, `DiskFull`.
    pub fn put(
        &mut self,
        key: &[u8],
        value: &[u8],
        version: u64,
        expires_at_ms: u64,
    ) -> Result<()> {
        self.add(
            key,
            &Value {
                tombstone: false,
                data: Bytes::copy_from_slice(value),
                version,
                expires_at_ms,
            },
        )
    }

    /// A tombstone: it hides what the store holds of the key.
    ///
    /// Errors: as [`SstWriter::put`].
    pub fn delete(&mut self, key: &[u8], version: u64) -> Result<()> {
        self.add(
            key,
            &Value {
                tombstone: true,
                data: Bytes::new(),
                version,
                expires_at_ms: 0,
            },
        )
    }

    fn add(&mut self, key: &[u8], value: &Value) -> Result<()> {
        if key.is_empty() || key <= self.last.as_slice() {
            let what = "the keys of a table ascend, and none is empty";
            return Err(Error::Invalid(what.into()));
        }
        if value.version == 0 {
            return Err(Error::Invalid("an imported value without version".into()));
        }
        self.writer.add(key, ValueRef::of(value))?;
        self.last.clear();
        self.last.extend_from_slice(key);
        self.entries += 1;
        Ok(())
    }

    /// About how large the file is.
    pub fn bytes(&self) -> u64 {
        self.writer.bytes()
    }

    /// Syncs the file and its name.
    ///
    /// Errors: `Invalid` (nothing was added), `Io`, `DiskFull`.
    pub fn finish(self) -> Result<SstFile> {
        if self.entries == 0 {
            return Err(Error::Invalid("a table without entries".into()));
        }
        let (_, bytes) = self.writer.finish(super::stage::OPEN_LSN)?;
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        self.io.sync_dir(dir).at(dir, "sync")?;
        Ok(SstFile {
            sha256: sha256(&*self.io, &self.path)?,
            path: self.path,
            entries: self.entries,
            bytes,
        })
    }
}
