use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::BlockBuilder;
use super::filter;
use super::format::{Footer, Handle, put_block};
use super::index;
use super::properties::Properties;
use crate::error::{IoContext, Result};
use crate::io::{Io, IoFile, OpenMode};
use crate::options::{Compression, Config};
use crate::value::ValueRef;

/// Bytes collected before they are written.
const WRITE_BYTES: usize = 256 << 10;

/// Writes a table; keys are added in ascending order, each once.
pub(crate) struct TableWriter {
    file: Arc<dyn IoFile>,
    path: PathBuf,
    block_bytes: usize,
    bits_per_key: u32,
    compression: Compression,
    block: BlockBuilder,
    index: Vec<u8>,
    hashes: Vec<u64>,
    properties: Properties,
    buffer: Vec<u8>,
    /// Of the file; `buffer` follows it.
    written: u64,
}

impl TableWriter {
    pub(crate) fn create(io: &dyn Io, path: &Path, config: &Config) -> Result<TableWriter> {
        Ok(TableWriter {
            file: io.open(path, OpenMode::Create).at(path, "create")?,
            path: path.to_path_buf(),
            block_bytes: config.block_bytes,
            bits_per_key: config.bloom_bits_per_key,
            compression: config.compression,
            block: BlockBuilder::default(),
            index: Vec::new(),
            hashes: Vec::new(),
            properties: Properties::default(),
            buffer: Vec::new(),
            written: 0,
        })
    }

    pub(crate) fn add(&mut self, key: &[u8], value: ValueRef<'_>) -> Result<()> {
        self.properties.add(key, value);
        self.hashes.push(filter::hash(key));
        self.block.add(key, value);
        if self.block.bytes() >= self.block_bytes {
            self.finish_block()?;
        }
        Ok(())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.written + (self.buffer.len() + self.block.bytes()) as u64
    }

    /// Completes and syncs the file; its name is durable after a sync of the directory.
    /// `last_lsn`: of the newest record in it. Returns the size, too.
    pub(crate) fn finish(mut self, last_lsn: u64) -> Result<(Properties, u64)> {
        if !self.block.is_empty() {
            self.finish_block()?;
        }
        self.properties.last_lsn = last_lsn;
        let filter = filter::build(&self.hashes, self.bits_per_key);
        let index = std::mem::take(&mut self.index);
        let mut properties = Vec::new();
        self.properties.put(&mut properties);
        let footer = Footer {
            filter: self.put(&filter, Compression::None),
            index: self.put(&index, Compression::None),
            properties: self.put(&properties, Compression::None),
        };
        self.buffer.extend_from_slice(&footer.encode());
        self.write()?;
        self.file.sync().at(&self.path, "sync")?;
        Ok((self.properties, self.written))
    }

    fn finish_block(&mut self) -> Result<()> {
        let last_key = self.block.last_key().to_vec();
        let payload = self.block.finish();
        let handle = self.put(&payload, self.compression);
        index::put(&mut self.index, &last_key, handle);
        self.properties.largest = last_key;
        if self.buffer.len() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn put(&mut self, payload: &[u8], compression: Compression) -> Handle {
        let start = self.buffer.len();
        put_block(&mut self.buffer, payload, compression);
        Handle {
            offset: self.written + start as u64,
            length: (self.buffer.len() - start) as u32,
        }
    }

    fn write(&mut self) -> Result<()> {
        self.file
            .write_at(self.written, &self.buffer)
            .at(&self.path, "write")?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
