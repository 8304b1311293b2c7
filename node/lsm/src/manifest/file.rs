//! The manifest file:
//!
//! ```text
//! file   := magic (8 bytes)  format:u32  crc32c:u32  record*
//! record := crc32c:u32  length:u32  edit (length bytes)
//! ```
//!
//! Little endian; a crc covers what precedes (header) or follows (record) it. Every record is
//! synced before the next is written, so a damaged record with a whole one behind it is damage; one
//! at the end is torn, and cut off. A new manifest is written beside the old one and renamed.
//!
//! The format is what a reader has to know: 2 only while an edit says what format 1 cannot. An older
//! program refuses such a store by name and opens it again when the need is gone and the manifest
//! was rewritten.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::edit::{Edit, Inventory};
use crate::error::{Error, IoContext, Result};
use crate::io::{Io, IoFile, OpenMode};

pub(crate) const FILE_NAME: &str = "MANIFEST";
const TEMPORARY: &str = "MANIFEST.tmp";
const MAGIC: [u8; 8] = *b"AiDb MAN";
/// The newest that this program knows.
pub(crate) const FORMAT: u32 = 2;
const HEADER_BYTES: usize = 16;
const RECORD_HEADER: usize = 8;
/// Size from which it is rewritten.
const REWRITE_BYTES: u64 = 1 << 20;

pub(crate) struct Manifest {
    io: Arc<dyn Io>,
    dir: PathBuf,
    file: Arc<dyn IoFile>,
    offset: u64,
    rewrite_at: u64,
    format: u32,
    inventory: Inventory,
}

/// Whether the manifest may have left this name in a store's directory.
pub(crate) fn is_own_name(name: &str) -> bool {
    name == FILE_NAME || name == TEMPORARY
}

impl Manifest {
    /// Writes the manifest of a new store, or replaces an old one.
    pub(crate) fn create(io: &Arc<dyn Io>, dir: &Path, inventory: Inventory) -> Result<Manifest> {
        let temporary = dir.join(TEMPORARY);
        let format = inventory.format();
        let data = encode(format, &[inventory.as_edit()]);
        let file = io
            .open(&temporary, OpenMode::Create)
            .at(&temporary, "create")?;
        file.write_at(0, &data).at(&temporary, "write")?;
        file.sync().at(&temporary, "sync")?;
        let path = dir.join(FILE_NAME);
        io.rename(&temporary, &path).at(&path, "rename")?;
        io.sync_dir(dir).at(dir, "sync")?;
        let offset = data.len() as u64;
        Ok(Manifest {
            io: Arc::clone(io),
            dir: dir.to_path_buf(),
            file,
            offset,
            rewrite_at: offset + REWRITE_BYTES,
            format,
            inventory,
        })
    }

    /// `None` when there is no manifest.
    pub(crate) fn open(io: &Arc<dyn Io>, dir: &Path) -> Result<Option<Manifest>> {
        let path = dir.join(FILE_NAME);
        let file = match io.open(&path, OpenMode::Write) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            result => result.at(&path, "open")?,
        };
        let mut data = vec![0; file.len().at(&path, "stat")? as usize];
        let count = file.read_at(0, &mut data).at(&path, "read")?;
        data.truncate(count);
        let (inventory, end) = parse(&data, &path)?;
        let format = format_of(&data);
        if end < data.len() {
            file.truncate(end as u64).at(&path, "truncate")?;
            file.sync().at(&path, "sync")?;
        }
        Ok(Some(Manifest {
            io: Arc::clone(io),
            dir: dir.to_path_buf(),
            file,
            offset: end as u64,
            rewrite_at: end as u64 + REWRITE_BYTES,
            format,
            inventory,
        }))
    }

    pub(crate) fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.offset
    }

    /// Reads the file again and compares.
    pub(crate) fn verify(&self) -> Result<()> {
        let path = self.dir.join(FILE_NAME);
        let mut data = vec![0; self.offset as usize];
        let count = self.file.read_at(0, &mut data).at(&path, "read")?;
        data.truncate(count);
        let (mut inventory, end) = parse(&data, &path)?;
        inventory.next_number = self.inventory.next_number;
        if end as u64 != self.offset || inventory != self.inventory {
            return Err(Error::corruption(&path, end as u64, "a record is missing"));
        }
        Ok(())
    }

    /// The number of a new table. Numbers of tables that no edit names are used again after a
    /// restart, which first removes such files.
    pub(crate) fn take_number(&mut self) -> u64 {
        let number = self.inventory.next_number;
        self.inventory.next_number = number + 1;
        number
    }

    /// New tables get numbers after `number`.
    pub(crate) fn skip_number(&mut self, number: u64) {
        self.inventory.next_number = self.inventory.next_number.max(number + 1);
    }

    /// Makes the edit durable.
    ///
    /// Errors: `DiskFull`, with the edit cut off again; after any other error the manifest's end is
    /// unknown and the store must be poisoned.
    pub(crate) fn append(&mut self, mut edit: Edit) -> Result<()> {
        edit.next_number = self.inventory.next_number;
        if edit.format() > self.format {
            let mut inventory = self.inventory.clone();
            inventory.apply(&edit);
            *self = Manifest::create(&self.io, &self.dir, inventory)?;
            return Ok(());
        }
        let path = self.dir.join(FILE_NAME);
        let mut data = Vec::new();
        put_record(&mut data, &edit);
        if let Err(error) = self.file.write_at(self.offset, &data).at(&path, "write") {
            self.file.truncate(self.offset).at(&path, "truncate")?;
            self.file.sync().at(&path, "sync")?;
            return Err(error);
        }
        self.file.sync().map_err(|source| Error::Io {
            path: path.clone(),
            op: "sync",
            source: Arc::new(source),
        })?;
        self.offset += data.len() as u64;
        self.inventory.apply(&edit);
        if self.offset >= self.rewrite_at {
            match Manifest::create(&self.io, &self.dir, self.inventory.clone()) {
                Ok(manifest) => *self = manifest,
                Err(Error::DiskFull { .. }) => self.rewrite_at += REWRITE_BYTES,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A whole file.
pub(crate) fn encode(format: u32, edits: &[Edit]) -> Vec<u8> {
    let mut data = MAGIC.to_vec();
    data.extend_from_slice(&format.to_le_bytes());
    let crc = crc32c::crc32c(&data);
    data.extend_from_slice(&crc.to_le_bytes());
    edits.iter().for_each(|edit| put_record(&mut data, edit));
    data
}

fn put_record(buffer: &mut Vec<u8>, edit: &Edit) {
    let body = edit.encode();
    let mut covered = (body.len() as u32).to_le_bytes().to_vec();
    covered.extend_from_slice(&body);
    buffer.extend_from_slice(&crc32c::crc32c(&covered).to_le_bytes());
    buffer.extend_from_slice(&covered);
}

/// The body of the whole record at `offset`.
fn record(data: &[u8], offset: usize) -> Option<&[u8]> {
    let input = data.get(offset..)?;
    let length = u32::from_le_bytes(input.get(4..RECORD_HEADER)?.try_into().ok()?) as usize;
    let covered = input.get(4..RECORD_HEADER.checked_add(length)?)?;
    let crc = crc32c::crc32c(covered).to_le_bytes();
    (length > 0 && crc == input[..4]).then(|| &covered[4..])
}

/// What is left of a manifest, in the order of the file.
pub(crate) enum Piece {
    Header { format: u32 },
    Edit { offset: usize, edit: Edit },
    Damage { offset: usize, what: String },
}

/// Every whole record, also those beyond damage.
pub(crate) fn pieces(data: &[u8]) -> Vec<Piece> {
    let damage = |offset: usize, what: &str| Piece::Damage {
        offset,
        what: what.to_owned(),
    };
    let mut found = Vec::new();
    match data.get(..HEADER_BYTES) {
        Some(header) if header[..8] != MAGIC => found.push(damage(0, "no manifest's header")),
        Some(header) if crc32c::crc32c(&header[..12]).to_le_bytes() != header[12..] => {
            found.push(damage(8, "header checksum"));
        }
        Some(_) => found.push(Piece::Header {
            format: format_of(data),
        }),
        None => found.push(damage(0, "header")),
    }
    let mut offset = HEADER_BYTES;
    while offset < data.len() {
        match record(data, offset) {
            Some(body) => {
                found.push(match Edit::decode(body) {
                    Some(edit) => Piece::Edit { offset, edit },
                    None => damage(offset, "an edit that this version cannot read"),
                });
                offset += RECORD_HEADER + body.len();
            }
            None => {
                let next = (offset + 1..data.len()).find(|at| record(data, *at).is_some());
                found.push(match next {
                    Some(next) => damage(
                        offset,
                        &format!("no whole record; the next one is at byte {next}"),
                    ),
                    None => damage(offset, "no whole record from here on"),
                });
                offset = next.unwrap_or(data.len());
            }
        }
    }
    found
}

fn format_of(data: &[u8]) -> u32 {
    let field = data.get(8..12).and_then(|field| field.try_into().ok());
    u32::from_le_bytes(field.unwrap_or_default())
}

/// The inventory and where its last record ends.
pub(crate) fn parse(data: &[u8], path: &Path) -> Result<(Inventory, usize)> {
    let damaged = |offset: usize, what: &str| Error::corruption(path, offset as u64, what);
    let header = data
        .get(..HEADER_BYTES)
        .ok_or_else(|| damaged(0, "header"))?;
    if header[..8] != MAGIC {
        return Err(Error::NotAStore {
            path: path.to_path_buf(),
        });
    }
    if crc32c::crc32c(&header[..12]).to_le_bytes() != header[12..] {
        return Err(damaged(0, "header checksum"));
    }
    let found = format_of(data);
    if !(1..=FORMAT).contains(&found) {
        return Err(Error::NewerFormat {
            path: path.to_path_buf(),
            found,
            supported: FORMAT,
        });
    }
    let mut inventory = Inventory::default();
    let mut offset = HEADER_BYTES;
    while let Some(body) = record(data, offset) {
        let edit = Edit::decode(body).ok_or_else(|| damaged(offset, "edit"))?;
        inventory.apply(&edit);
        offset += RECORD_HEADER + body.len();
    }
    if offset == HEADER_BYTES {
        // The first record was synced before the file got its name.
        return Err(damaged(offset, "no whole record"));
    }
    if (offset + 1..data.len()).any(|at| record(data, at).is_some()) {
        return Err(damaged(offset, "a damaged record before whole ones"));
    }
    Ok((inventory, offset))
}
