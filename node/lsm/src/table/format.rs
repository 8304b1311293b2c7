//! Blocks on disk and the footer; the layout is in the module's comment.

use std::path::Path;

use bytes::Bytes;

use crate::error::{Error, IoContext, Result};
use crate::io::IoFile;
use crate::options::Compression;

pub(crate) const FORMAT: u32 = 1;
pub(crate) const FOOTER_BYTES: usize = 3 * HANDLE_BYTES + 16;
const MAGIC: [u8; 8] = *b"AiDb SST";
const HANDLE_BYTES: usize = 12;
const TRAILER_BYTES: usize = 5;
/// What a block may grow to; a length beyond it is damage, not a reason to allocate.
const MAX_BLOCK_BYTES: u32 = 1 << 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handle {
    pub offset: u64,
    pub length: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub index: Handle,
    pub filter: Handle,
    pub properties: Handle,
}

/// Appends the block on disk. Compressed only if that saves an eighth.
pub(crate) fn put_block(buffer: &mut Vec<u8>, payload: &[u8], compression: Compression) {
    let start = buffer.len();
    let mut kind = 0;
    if compression == Compression::Lz4 {
        let compressed = lz4_flex::compress_prepend_size(payload);
        if compressed.len() + payload.len() / 8 < payload.len() {
            buffer.extend_from_slice(&compressed);
            kind = 1;
        }
    }
    if kind == 0 {
        buffer.extend_from_slice(payload);
    }
    buffer.push(kind);
    let crc = crc32c::crc32c(&buffer[start..]);
    buffer.extend_from_slice(&crc.to_le_bytes());
}

/// [`read_block`] of a file in memory.
pub(crate) fn parse_block(data: &Bytes, path: &Path, handle: Handle) -> Result<Bytes> {
    let start = usize::try_from(handle.offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(handle.length as usize);
    if end > data.len() || (handle.length as usize) < TRAILER_BYTES {
        let what = "the file ends inside a block";
        return Err(Error::corruption(path, handle.offset, what));
    }
    check_block(data[start..end].to_vec(), path, handle)
}

/// The block that begins at `offset`, by its checksum alone: where an index is lost.
pub(crate) fn find_block(data: &[u8], offset: u64) -> Option<Handle> {
    let block = data.get(usize::try_from(offset).ok()?..)?;
    let mut crc: u32 = 0;
    for (length, window) in block.windows(4).enumerate() {
        if length >= 1 && window == crc.to_le_bytes() && block[length - 1] <= 1 {
            return Some(Handle {
                offset,
                length: u32::try_from(length + 4).ok()?,
            });
        }
        crc = crc32c::crc32c_append(crc, &block[length..=length]);
    }
    None
}

/// Reads and checks a block; returns its payload.
pub(crate) fn read_block(file: &dyn IoFile, path: &Path, handle: Handle) -> Result<Bytes> {
    let damaged = |what: &str| Error::corruption(path, handle.offset, what);
    if handle.length > MAX_BLOCK_BYTES || (handle.length as usize) < TRAILER_BYTES {
        return Err(damaged("a block of impossible length"));
    }
    let mut data = vec![0; handle.length as usize];
    let count = file.read_at(handle.offset, &mut data).at(path, "read")?;
    if count < data.len() {
        return Err(damaged("the file ends inside a block"));
    }
    check_block(data, path, handle)
}

fn check_block(mut data: Vec<u8>, path: &Path, handle: Handle) -> Result<Bytes> {
    let damaged = |what: &str| Error::corruption(path, handle.offset, what);
    let body = data.len() - 4;
    if crc32c::crc32c(&data[..body]).to_le_bytes() != data[body..] {
        return Err(damaged("block checksum"));
    }
    let payload = body - 1;
    match data[payload] {
        0 => {
            data.truncate(payload);
            Ok(data.into())
        }
        1 if claims_too_much(&data[..payload]) => {
            Err(damaged("a compressed block of impossible length"))
        }
        1 => lz4_flex::decompress_size_prepended(&data[..payload])
            .map(Bytes::from)
            .map_err(|error| damaged(&error.to_string())),
        _ => Err(damaged("a compression this version does not know")),
    }
}

/// LZ4 makes at most 255 bytes of one; a length beyond that is not a reason to allocate.
fn claims_too_much(compressed: &[u8]) -> bool {
    let claimed = compressed
        .first_chunk()
        .map(|first| u32::from_le_bytes(*first));
    claimed.is_some_and(|claimed| claimed as usize > 255 * compressed.len())
}

impl Footer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(FOOTER_BYTES);
        for handle in [self.index, self.filter, self.properties] {
            buffer.extend_from_slice(&handle.offset.to_le_bytes());
            buffer.extend_from_slice(&handle.length.to_le_bytes());
        }
        buffer.extend_from_slice(&FORMAT.to_le_bytes());
        let crc = crc32c::crc32c(&buffer);
        buffer.extend_from_slice(&crc.to_le_bytes());
        buffer.extend_from_slice(&MAGIC);
        buffer
    }

    pub(crate) fn read(file: &dyn IoFile, path: &Path) -> Result<Footer> {
        let length = file.len().at(path, "stat")?;
        let offset = length.saturating_sub(FOOTER_BYTES as u64);
        let mut data = [0; FOOTER_BYTES];
        let count = file.read_at(offset, &mut data).at(path, "read")?;
        Footer::decode(&data[..count], offset, path)
    }

    /// Of a file in memory.
    pub(crate) fn parse(data: &[u8], path: &Path) -> Result<Footer> {
        let offset = data.len().saturating_sub(FOOTER_BYTES);
        Footer::decode(&data[offset..], offset as u64, path)
    }

    fn decode(data: &[u8], offset: u64, path: &Path) -> Result<Footer> {
        let damaged = |what: &str| Error::corruption(path, offset, what);
        if data.len() < FOOTER_BYTES {
            return Err(damaged("no SST footer"));
        }
        let (body, magic) = data.split_at(FOOTER_BYTES - 8);
        if magic != MAGIC {
            return Err(damaged("no SST footer"));
        }
        let (body, crc) = body.split_at(body.len() - 4);
        if crc32c::crc32c(body).to_le_bytes() != crc {
            return Err(damaged("footer checksum"));
        }
        let mut fields = body.chunks_exact(4);
        let mut next = || {
            let field = fields.next().and_then(|field| field.try_into().ok());
            u32::from_le_bytes(field.unwrap_or_default())
        };
        let mut handle = || {
            let (low, high, length) = (next(), next(), next());
            let offset = u64::from(high) << 32 | u64::from(low);
            Handle { offset, length }
        };
        let (index, filter, properties) = (handle(), handle(), handle());
        let found = next();
        if found != FORMAT {
            return Err(Error::NewerFormat {
                path: path.to_path_buf(),
                found,
                supported: FORMAT,
            });
        }
        Ok(Footer {
            index,
            filter,
            properties,
        })
    }
}
