use std::path::Path;

use sha2::{Digest, Sha256};

use crate::batch::RequestId;
use crate::error::{Error, IoContext, Result};
use crate::io::{Io, OpenMode};
use crate::shared::{Shared, TABLE_DIR};
use crate::table::Table;

/// `last_lsn` in the properties of a table whose place in the order the manifest says.
pub(crate) const OPEN_LSN: u64 = 0;
const CHUNK: usize = 1 << 20;

/// How an ingest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ingested {
    /// At which the files' keys came in.
    pub lsn: u64,
    /// The request had been done before; nothing was done now.
    pub repeated: bool,
}

/// Files in the store that no manifest names; removed when dropped.
pub(crate) struct Staged {
    pub request: RequestId,
    /// In key order.
    pub files: Vec<StagedFile>,
}

pub(crate) struct StagedFile {
    pub table: Table,
    pub sha256: [u8; 32],
}

/// Links or copies the files into the store and reads them whole.
///
/// Errors: `Invalid` (they overlap, or were not written by [`super::SstWriter`]), `Corruption`, `Io`,
/// `DiskFull`.
pub(crate) fn stage(
    shared: &Shared,
    paths: &[impl AsRef<Path>],
    request: RequestId,
) -> Result<Staged> {
    let mut staged = Staged {
        request,
        files: Vec::new(),
    };
    for path in paths {
        staged.files.push(stage_file(shared, path.as_ref())?);
    }
    let files = &mut staged.files;
    files.sort_by(|a, b| {
        a.table
            .properties
            .smallest
            .cmp(&b.table.properties.smallest)
    });
    let overlaps =
        |pair: &[StagedFile]| pair[0].table.properties.largest >= pair[1].table.properties.smallest;
    if files.is_empty() || files.windows(2).any(overlaps) {
        let what = "files of one ingest, at least one, hold ranges of keys that do not overlap";
        return Err(Error::Invalid(what.into()));
    }
    Ok(staged)
}

fn stage_file(shared: &Shared, source: &Path) -> Result<StagedFile> {
    let number = shared.manifest.lock().take_number();
    let path = shared.table_path(number);
    let linked = match shared.io.link(source, &path) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            copy(&*shared.io, source, &path)
        }
        result => result.at(source, "link"),
    };
    let opened = linked.and_then(|()| {
        let dir = shared.path.join(TABLE_DIR);
        shared.io.sync_dir(&dir).at(&dir, "sync")?;
        Table::open(&shared.io, &dir, number, &shared.cache)
    });
    if opened.is_err() {
        // Best effort; what remains is removed at the next open.
        let _ = shared.io.remove(&path);
    }
    let table = opened?;
    table.mark_obsolete();
    table.verify()?;
    if table.properties.last_lsn != OPEN_LSN || table.properties.entries == 0 {
        let what = format!("{} was not written to be ingested", source.display());
        return Err(Error::Invalid(what));
    }
    Ok(StagedFile {
        sha256: sha256(&*shared.io, &path)?,
        table,
    })
}

fn copy(io: &dyn Io, from: &Path, to: &Path) -> Result<()> {
    let target = io.open(to, OpenMode::Create).at(to, "create")?;
    let mut offset = 0;
    read_chunks(io, from, |chunk| {
        target.write_at(offset, chunk).at(to, "write")?;
        offset += chunk.len() as u64;
        Ok(())
    })?;
    target.sync().at(to, "sync")
}

pub(crate) fn sha256(io: &dyn Io, path: &Path) -> Result<[u8; 32]> {
    let mut hash = Sha256::new();
    read_chunks(io, path, |chunk| {
        hash.update(chunk);
        Ok(())
    })?;
    Ok(hash.finalize().into())
}

fn read_chunks(io: &dyn Io, path: &Path, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let file = io.open(path, OpenMode::Read).at(path, "open")?;
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let count = file.read_at(offset, &mut buffer).at(path, "read")?;
        if count == 0 {
            return Ok(());
        }
        each(&buffer[..count])?;
        offset += count as u64;
    }
}
