//! Sorted, immutable files (SSTs).
//!
//! ```text
//! file   := data block*  filter block  index block  properties block  footer
//! block  := payload  compression:u8  crc32c:u32          crc over payload and compression
//! footer := index  filter  properties  format:u32  crc32c:u32  magic (8 bytes)
//! handle := offset:u64  length:u32                       of a block, crc included
//! ```
//!
//! Little endian. Index and filter stay in memory while the table is open (about 1 % of the data),
//! data blocks go through the cache. What the payloads are is said where they are written.

pub(crate) mod block;
pub(crate) mod cache;
pub(crate) mod cursor;
pub(crate) mod filter;
pub(crate) mod format;
pub(crate) mod heads;
pub(crate) mod index;
pub(crate) mod properties;
pub(crate) mod reader;
pub(crate) mod writer;

pub(crate) use cursor::LevelCursor;
pub(crate) use filter::hash;
pub(crate) use properties::Properties;
pub(crate) use reader::Table;
pub(crate) use writer::TableWriter;
