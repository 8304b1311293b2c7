//! Each decoder of bytes from disk or from others, as one function that takes anything and checks
//! what holds for every input. Called by the fuzz targets (node/fuzz) and by an ordinary test that
//! replays their corpus; not part of a normal build.
//!
//! Checksums would keep a fuzzer out of what lies behind them: where a format has them, the input is
//! tried as it is, and once more as payloads that are given theirs.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::cursor::Cursor;
use crate::inspect;
use crate::io::{Io, IoFile, OpenMode};
use crate::log::recovery::Chain;
use crate::log::{LogRecord, frame};
use crate::manifest::{self, Edit};
use crate::options::Compression;
use crate::range::{Direction, Range};
use crate::table::block::{Block, BlockBuilder, BlockCursor};
use crate::table::cache::BlockCache;
use crate::table::format::{FOOTER_BYTES, Footer, Handle, put_block};
use crate::table::hash;
use crate::table::{LevelCursor, Table};
use crate::value::{Value, ValueRef};
use crate::varint;

const SEGMENT: u64 = 7;

/// A segment of the log.
pub fn log(data: &[u8]) {
    segment(data);
    let mut framed = Vec::new();
    let mut input = data;
    while let Some(record) = part(&mut input) {
        frame::put(&mut framed, SEGMENT, 0, |buffer| {
            buffer.extend_from_slice(record)
        });
    }
    segment(&framed);
}

fn segment(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let mut last = None;
    let mut replay = |record: LogRecord| {
        assert!(
            last.is_none_or(|last| last == record.previous_lsn),
            "a hole"
        );
        last = Some(record.lsn);
    };
    let end = Chain::new(u64::MAX).follow(Path::new("log"), &data, SEGMENT, &mut replay);
    if let Ok(end) = end {
        let next = frame::next_whole(&data, SEGMENT, end);
        assert!(next.is_none_or(|next| next >= end));
        assert_eq!(
            next.is_some(),
            frame::highest_synced(&data, SEGMENT, end).is_some()
        );
    }
}

/// A record, as in the log, in the archive and on the wire.
pub fn record(data: &[u8]) {
    let Ok(record) = LogRecord::decode(Bytes::copy_from_slice(data)) else {
        return;
    };
    for op in &record.ops {
        let _ = (op.end_key(), op.sst_sha256());
    }
    let again = LogRecord::new(
        record.epoch,
        record.lsn,
        record.previous_lsn,
        record.clock_ms,
        record.ops.clone(),
    );
    let decoded = LogRecord::decode(again.encoded().clone());
    assert_eq!(decoded.ok().as_ref(), Some(&again));
}

/// A manifest.
pub fn manifest(data: &[u8]) {
    let path = Path::new("MANIFEST");
    let read = |data: &[u8]| {
        let parsed = manifest::parse(data, path);
        let (edits, report) = inspect::salvage(data, path);
        if parsed.is_ok() {
            assert!(!edits.is_empty());
        }
        let _ = report;
    };
    read(data);
    let mut input = data;
    let mut edits = Vec::new();
    while let Some(edit) = part(&mut input) {
        if let Some(edit) = Edit::decode(edit) {
            assert_eq!(Edit::decode(&edit.encode()).as_ref(), Some(&edit));
            edits.push(edit);
        }
    }
    read(&manifest::encode(manifest::FORMAT, &edits));
}

fn find(block: &Block, key: &[u8]) -> Option<Option<Value>> {
    block.get_from(block.place(key)?, key)
}

/// The payload of a data block.
pub fn block(data: &[u8]) {
    let plain = Block::new(Bytes::copy_from_slice(data));
    let kept = plain.clone().and_then(Block::kept);
    for block in plain.into_iter().chain(kept) {
        for direction in [Direction::Forward, Direction::Reverse] {
            for from in [
                Bound::Unbounded,
                Bound::Included(data),
                Bound::Excluded(&data[..data.len() / 2]),
            ] {
                let _ = walk(&block, direction, from);
            }
        }
        let _ = (
            find(&block, b""),
            find(&block, data),
            find(&block, &data[..data.len() / 2]),
        );
    }
    let mut entries = BTreeMap::new();
    let mut input = data;
    while let Some(key) = part(&mut input) {
        let value = Value {
            tombstone: key.len() % 3 == 0,
            data: if key.len() % 3 == 0 {
                Bytes::new()
            } else {
                Bytes::copy_from_slice(key)
            },
            version: key.len() as u64,
            expires_at_ms: u64::from(key.first().copied().unwrap_or(0)),
        };
        entries.insert(key.to_vec(), value);
    }
    let mut builder = BlockBuilder::default();
    entries
        .iter()
        .for_each(|(key, value)| builder.add(key, ValueRef::of(value)));
    let built = Block::new(builder.finish().into());
    let built = built.unwrap_or_else(|| unreachable!("a block just built is whole"));
    for (key, value) in &entries {
        assert_eq!(find(&built, key), Some(Some(value.clone())));
    }
    let forward = walk(&built, Direction::Forward, Bound::Unbounded);
    let mut reverse = walk(&built, Direction::Reverse, Bound::Unbounded);
    if let Some(keys) = &mut reverse {
        keys.reverse();
    }
    assert_eq!(forward, reverse);
    assert_eq!(forward, Some(entries.into_iter().collect()));
}

fn walk(block: &Block, direction: Direction, from: Bound<&[u8]>) -> Option<Vec<(Vec<u8>, Value)>> {
    let mut cursor = BlockCursor::new(block.clone(), direction, from)?;
    let mut found = Vec::new();
    while cursor.advance()? {
        found.push((cursor.key().to_vec(), cursor.value().to_value()));
    }
    Some(found)
}

/// A whole table: footer, index, filter, properties, blocks.
pub fn table(data: &[u8]) {
    open_table(data.to_vec());
    let mut file = Vec::new();
    let mut input = data;
    let mut put = |payload: &[u8]| {
        let start = file.len();
        match payload.split_first() {
            // A compression that the rest may not be of, or an unknown one.
            Some((&kind @ 1..=3, body)) => {
                file.extend_from_slice(body);
                file.push(kind);
                let crc = crc32c::crc32c(&file[start..]);
                file.extend_from_slice(&crc.to_le_bytes());
            }
            Some((_, body)) => put_block(&mut file, body, Compression::Lz4),
            None => put_block(&mut file, payload, Compression::None),
        }
        Handle {
            offset: start as u64,
            length: (file.len() - start) as u32,
        }
    };
    let filter = put(part(&mut input).unwrap_or_default());
    let properties = put(part(&mut input).unwrap_or_default());
    let mut index = Vec::new();
    while let Some(payload) = part(&mut input) {
        let handle = put(payload);
        let last_key = part(&mut input).unwrap_or_default();
        crate::table::index::put(&mut index, last_key, handle);
    }
    // Marked so that it is stored as it is.
    let index = put(&[&[0], index.as_slice()].concat());
    file.extend_from_slice(
        &Footer {
            index,
            filter,
            properties,
        }
        .encode(),
    );
    open_table(file);
}

fn open_table(data: Vec<u8>) {
    let whole = data.len() >= FOOTER_BYTES;
    let io: Arc<dyn Io> = Arc::new(OneFile(data.into()));
    let path = Path::new("sst").join(crate::table::reader::file_name(1));
    let report = inspect::read_sst(&*io, &path, &mut |_| {});
    assert!(report.is_ok_and(|report| whole || !report.damage.is_empty()));
    let cache = Arc::new(BlockCache::new(1 << 16, 256));
    let Ok(table) = Table::open(&io, Path::new("sst"), 1, &cache) else {
        return;
    };
    let verified = table.verify();
    let table = Arc::new(table);
    for direction in [Direction::Forward, Direction::Reverse] {
        let from = Bound::Unbounded;
        let run = Arc::from([Arc::clone(&table)]);
        let mut cursor = LevelCursor::new(run, (0, 1), direction, from, true);
        let mut entries = 0;
        while let Ok(true) = cursor.advance() {
            entries += 1;
            let key = cursor.key();
            let _ = (table.get(key, hash(key)), cursor.value());
        }
        if direction == Direction::Forward {
            assert!(verified.is_err() || entries == table.properties.entries);
        }
    }
    let _ = table.estimate(&Range::between("a", "b"));
}

/// Takes a length and that many bytes, or what is left.
fn part<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    if input.is_empty() {
        return None;
    }
    let length = varint::take(input).unwrap_or(u64::MAX);
    let length = input
        .len()
        .min(usize::try_from(length).unwrap_or(usize::MAX));
    let (head, tail) = input.split_at(length);
    *input = tail;
    Some(head)
}

/// A file system with one file, in memory.
struct OneFile(Bytes);

impl Io for OneFile {
    fn open(&self, _: &Path, _: OpenMode) -> io::Result<Arc<dyn IoFile>> {
        Ok(Arc::new(OneFile(self.0.clone())))
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
    fn lock(&self, _: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        Err(ErrorKind::Unsupported.into())
    }
}

impl IoFile for OneFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.0.len());
        let count = buffer.len().min(self.0.len() - start);
        buffer[..count].copy_from_slice(&self.0[start..start + count]);
        Ok(count)
    }
    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
    fn preallocate(&self, _: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
    fn sync(&self) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What fuzzing found interesting or wrong, once more.
    fn replay(target: &str, decode: fn(&[u8])) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(target);
        let files = std::fs::read_dir(&dir).unwrap();
        let inputs: Vec<_> = files
            .map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect();
        assert!(!inputs.is_empty(), "no inputs in {}", dir.display());
        inputs.iter().for_each(|input| decode(input));
    }

    #[test]
    fn the_corpus_of_logs() {
        replay("log", log);
    }

    #[test]
    fn the_corpus_of_records() {
        replay("record", record);
    }

    #[test]
    fn the_corpus_of_manifests() {
        replay("manifest", manifest);
    }

    #[test]
    fn the_corpus_of_blocks() {
        replay("block", block);
    }

    #[test]
    fn the_corpus_of_tables() {
        replay("table", table);
    }
}
