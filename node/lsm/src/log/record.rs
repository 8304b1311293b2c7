//! The log record (V2): the protobuf encoding of `aidb.v1.LogRecord`, written by hand because the
//! committer encodes straight into the log buffer. Fields in ascending order, defaults omitted, so
//! that one record has one encoding:
//!
//! ```text
//! record := format=1:1  epoch:2  lsn:3  previous_lsn:4  clock_ms:5  (op:6)*
//! op     := kind:1  key:2  value:3  expires_at:4  version:5  client:6 (fixed64)  request_seq:7
//!           end_key:9  sst_sha256:10
//! ```
//!
//! A range delete has the range's end (exclusive) in field 9, as have slots gained and lost; an ingest, one operation per file,
//! has in `key` and field 9 the range of the file's keys. So the slots of both follow from their
//! physical keys, and field 8 (slots) is not needed. A reader that does not know a kind or a field
//! refuses the record rather than replay it wrongly.

use bytes::Bytes;

use crate::batch::{Op, OpKind, RequestId};
use crate::commit::single::Single;
use crate::error::{Error, Result};
use crate::varint;

pub const RECORD_FORMAT: u64 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    pub epoch: u64,
    pub lsn: u64,
    /// The chain of these, not +1, is what contiguity means.
    pub previous_lsn: u64,
    /// Shard clock (V3).
    pub clock_ms: u64,
    pub ops: Vec<LogOp>,
    encoded: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogOpKind {
    Put,
    Delete,
    /// A new epoch begins; key and value are empty.
    Epoch,
    /// Every key from `key` to [`LogOp::end_key`] is gone.
    RangeDelete,
    /// The keys and values of a file, from `key` to [`LogOp::end_key`], come in.
    Ingest,
    /// The owner of this log is about to own the keys from `key` to [`LogOp::end_key`] (rules M).
    Gained,
    /// It answers for them no more.
    Lost,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOp {
    pub kind: LogOpKind,
    pub key: Bytes,
    /// `RangeDelete`, `Gained`, `Lost`: the end; `Ingest`: the file's SHA-256 and the end. [`LogOp::end_key`] and
    /// [`LogOp::sst_sha256`] take it apart.
    pub value: Bytes,
    /// 0 = never.
    pub expires_at_ms: u64,
    /// The record's LSN, or the version an imported value brought with it (V1).
    pub version: u64,
    pub request: RequestId,
    /// As given with the operation; not logged, hence 0 in a record read back.
    pub tag: u32,
}

const SHA256_BYTES: usize = 32;

impl LogOpKind {
    /// Of a range whose end is all that it says beside its begin.
    fn has_end(self) -> bool {
        matches!(self, Self::RangeDelete | Self::Gained | Self::Lost)
    }
}

impl LogOp {
    /// Of a range: exclusive, empty = without end. `None` for operations on one key.
    pub fn end_key(&self) -> Option<&[u8]> {
        match self.kind {
            kind if kind.has_end() => Some(&self.value),
            LogOpKind::Ingest => self.value.get(SHA256_BYTES..),
            _ => None,
        }
    }

    /// Of the file that an `Ingest` brings in.
    pub fn sst_sha256(&self) -> Option<[u8; SHA256_BYTES]> {
        match self.kind {
            LogOpKind::Ingest => self.value.first_chunk().copied(),
            _ => None,
        }
    }

    fn fields(&self, lsn: u64) -> OpFields<'_> {
        OpFields {
            kind: self.kind,
            key: &self.key,
            value: &self.value,
            expires_at_ms: self.expires_at_ms,
            version: if self.version == lsn { 0 } else { self.version },
            request: self.request,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub epoch: u64,
    pub lsn: u64,
    pub previous_lsn: u64,
    pub clock_ms: u64,
}

#[derive(Clone, Copy)]
struct OpFields<'a> {
    kind: LogOpKind,
    key: &'a [u8],
    value: &'a [u8],
    expires_at_ms: u64,
    version: u64,
    request: RequestId,
}

mod tag {
    const VARINT: u8 = 0;
    const FIXED64: u8 = 1;
    const BYTES: u8 = 2;

    pub const FORMAT: u8 = 1 << 3 | VARINT;
    pub const EPOCH: u8 = 2 << 3 | VARINT;
    pub const LSN: u8 = 3 << 3 | VARINT;
    pub const PREVIOUS_LSN: u8 = 4 << 3 | VARINT;
    pub const CLOCK: u8 = 5 << 3 | VARINT;
    pub const OP: u8 = 6 << 3 | BYTES;

    pub const KIND: u8 = 1 << 3 | VARINT;
    pub const KEY: u8 = 2 << 3 | BYTES;
    pub const VALUE: u8 = 3 << 3 | BYTES;
    pub const EXPIRES_AT: u8 = 4 << 3 | VARINT;
    pub const VERSION: u8 = 5 << 3 | VARINT;
    pub const CLIENT: u8 = 6 << 3 | FIXED64;
    pub const REQUEST_SEQ: u8 = 7 << 3 | VARINT;
    pub const END_KEY: u8 = 9 << 3 | BYTES;
    pub const SST_SHA256: u8 = 10 << 3 | BYTES;
}

impl LogRecord {
    /// `ops[i].version` 0 means `lsn`.
    pub fn new(
        epoch: u64,
        lsn: u64,
        previous_lsn: u64,
        clock_ms: u64,
        mut ops: Vec<LogOp>,
    ) -> LogRecord {
        let mut buffer = Vec::new();
        let header = Header {
            epoch,
            lsn,
            previous_lsn,
            clock_ms,
        };
        put_header(&mut buffer, header);
        for op in &mut ops {
            if op.version == 0 {
                op.version = lsn;
            }
            put_op(&mut buffer, op.fields(lsn));
        }
        LogRecord {
            epoch,
            lsn,
            previous_lsn,
            clock_ms,
            ops,
            encoded: buffer.into(),
        }
    }

    /// The record as it is on disk, in the archive and on the wire.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// Keys and values are slices of `encoded`.
    ///
    /// Errors: `Invalid`.
    pub fn decode(encoded: Bytes) -> Result<LogRecord> {
        decode(&encoded).map_err(|what| Error::Invalid(format!("log record: {what}")))
    }

    /// What would be read back of [`put_record`], but without its encoding. `memory` is empty; `keep`
    /// says where values stay.
    pub(crate) fn plain(
        memory: Vec<LogOp>,
        header: Header,
        ops: impl Iterator<Item = Op>,
        mut keep: impl FnMut(Bytes) -> Bytes,
    ) -> LogRecord {
        let mut logged = memory;
        logged.extend(ops.map(|op| {
            let (kind, _, expires_at_ms) = fields(&op.kind);
            let value = match op.kind {
                OpKind::Put { value, .. } | OpKind::DeleteRange { end: value } => keep(value),
                OpKind::Delete => Bytes::new(),
            };
            LogOp {
                kind,
                value,
                expires_at_ms,
                key: op.key.into(),
                version: header.lsn,
                request: op.request,
                tag: op.tag,
            }
        }));
        LogRecord {
            epoch: header.epoch,
            lsn: header.lsn,
            previous_lsn: header.previous_lsn,
            clock_ms: header.clock_ms,
            ops: logged,
            encoded: Bytes::new(),
        }
    }
}

/// Five numbers with their tags.
const PER_RECORD_BYTES: usize = 2 + 4 * 11;
/// Tags, lengths, two 64-bit numbers, client and sequence.
const PER_OP_BYTES: usize = 1 + 5 + 2 + 2 * 6 + 2 * 11 + 9 + 11;

/// Upper bound of what [`put_record`] appends for the operations.
pub(crate) fn max_encoded_len<'a>(ops: impl Iterator<Item = &'a Op>) -> usize {
    let ops = ops.map(|op| PER_OP_BYTES + op.key.len() + op.value_len());
    PER_RECORD_BYTES + ops.sum::<usize>()
}

pub(crate) fn put_record<'a>(
    buffer: &mut Vec<u8>,
    header: Header,
    ops: impl Iterator<Item = &'a Op>,
) {
    put_header(buffer, header);
    for op in ops {
        let (kind, value, expires_at_ms) = fields(&op.kind);
        put_op(
            buffer,
            OpFields {
                kind,
                key: &op.key,
                value,
                expires_at_ms,
                version: 0,
                request: op.request,
            },
        );
    }
}

/// Upper bound of what [`put_single`] appends.
pub(crate) fn max_single_len(single: &Single<'_>) -> usize {
    let value = single.value.map_or(0, <[u8]>::len);
    PER_RECORD_BYTES + PER_OP_BYTES + single.key.len() + value
}

/// The record of a batch with this one operation.
pub(crate) fn put_single(buffer: &mut Vec<u8>, header: Header, single: &Single<'_>) {
    put_header(buffer, header);
    put_op(
        buffer,
        OpFields {
            kind: match single.value {
                Some(_) => LogOpKind::Put,
                None => LogOpKind::Delete,
            },
            key: single.key,
            value: single.value.unwrap_or_default(),
            expires_at_ms: single.expires_at_ms,
            version: 0,
            request: single.request,
        },
    );
}

fn fields(kind: &OpKind) -> (LogOpKind, &[u8], u64) {
    match kind {
        OpKind::Put {
            value,
            expires_at_ms,
        } => (LogOpKind::Put, value, *expires_at_ms),
        OpKind::Delete => (LogOpKind::Delete, &[], 0),
        OpKind::DeleteRange { end } => (LogOpKind::RangeDelete, end, 0),
    }
}

pub(crate) fn put_epoch_record(buffer: &mut Vec<u8>, header: Header) {
    put_header(buffer, header);
    put_op(
        buffer,
        OpFields {
            kind: LogOpKind::Epoch,
            key: &[],
            value: &[],
            expires_at_ms: 0,
            version: 0,
            request: RequestId::default(),
        },
    );
}

fn put_header(buffer: &mut Vec<u8>, header: Header) {
    put_number(buffer, tag::FORMAT, RECORD_FORMAT);
    put_number(buffer, tag::EPOCH, header.epoch);
    put_number(buffer, tag::LSN, header.lsn);
    put_number(buffer, tag::PREVIOUS_LSN, header.previous_lsn);
    put_number(buffer, tag::CLOCK, header.clock_ms);
}

fn put_op(buffer: &mut Vec<u8>, op: OpFields<'_>) {
    let kind = match op.kind {
        LogOpKind::Put => 0,
        LogOpKind::Delete => 1,
        LogOpKind::Epoch => 2,
        LogOpKind::Gained => 3,
        LogOpKind::Lost => 4,
        LogOpKind::RangeDelete => 5,
        LogOpKind::Ingest => 6,
    };
    let (value, end, sha256) = match op.kind {
        kind if kind.has_end() => ([].as_slice(), op.value, [].as_slice()),
        LogOpKind::Ingest => {
            let (sha256, end) = op.value.split_at(op.value.len().min(SHA256_BYTES));
            ([].as_slice(), end, sha256)
        }
        _ => (op.value, [].as_slice(), [].as_slice()),
    };
    let length = number_len(kind)
        + bytes_len(op.key)
        + bytes_len(value)
        + bytes_len(end)
        + bytes_len(sha256)
        + number_len(op.expires_at_ms)
        + number_len(op.version)
        + if op.request.client == 0 { 0 } else { 9 }
        + number_len(op.request.seq);
    buffer.push(tag::OP);
    varint::put(buffer, length as u64);
    put_number(buffer, tag::KIND, kind);
    put_bytes(buffer, tag::KEY, op.key);
    put_bytes(buffer, tag::VALUE, value);
    put_number(buffer, tag::EXPIRES_AT, op.expires_at_ms);
    put_number(buffer, tag::VERSION, op.version);
    if op.request.client != 0 {
        buffer.push(tag::CLIENT);
        buffer.extend_from_slice(&op.request.client.to_le_bytes());
    }
    put_number(buffer, tag::REQUEST_SEQ, op.request.seq);
    put_bytes(buffer, tag::END_KEY, end);
    put_bytes(buffer, tag::SST_SHA256, sha256);
}

fn put_number(buffer: &mut Vec<u8>, tag: u8, value: u64) {
    if value != 0 {
        buffer.push(tag);
        varint::put(buffer, value);
    }
}

fn number_len(value: u64) -> usize {
    if value == 0 {
        0
    } else {
        1 + varint::len(value)
    }
}

fn put_bytes(buffer: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        buffer.push(tag);
        varint::put_bytes(buffer, bytes);
    }
}

fn bytes_len(bytes: &[u8]) -> usize {
    if bytes.is_empty() {
        0
    } else {
        1 + varint::len(bytes.len() as u64) + bytes.len()
    }
}

const CUT: &str = "cut short";
const UNKNOWN: &str = "a field this version does not know";

pub(crate) fn decode(encoded: &Bytes) -> std::result::Result<LogRecord, &'static str> {
    let mut input = encoded.as_ref();
    let (mut format, mut epoch, mut lsn, mut previous_lsn, mut clock_ms) = (0, 0, 0, 0, 0);
    let mut ops = Vec::new();
    while let Some((&tag, rest)) = input.split_first() {
        input = rest;
        let number = match tag {
            tag::OP => {
                let body = varint::take_bytes(&mut input).ok_or(CUT)?;
                ops.push(decode_op(encoded, body)?);
                continue;
            }
            tag::FORMAT => &mut format,
            tag::EPOCH => &mut epoch,
            tag::LSN => &mut lsn,
            tag::PREVIOUS_LSN => &mut previous_lsn,
            tag::CLOCK => &mut clock_ms,
            _ => return Err(UNKNOWN),
        };
        *number = varint::take(&mut input).ok_or(CUT)?;
    }
    if format != RECORD_FORMAT {
        return Err("a format this version does not know");
    }
    for op in &mut ops {
        if op.version == 0 {
            op.version = lsn;
        }
    }
    Ok(LogRecord {
        epoch,
        lsn,
        previous_lsn,
        clock_ms,
        ops,
        encoded: encoded.clone(),
    })
}

fn decode_op(encoded: &Bytes, mut input: &[u8]) -> std::result::Result<LogOp, &'static str> {
    let mut op = LogOp {
        kind: LogOpKind::Put,
        key: Bytes::new(),
        value: Bytes::new(),
        expires_at_ms: 0,
        version: 0,
        request: RequestId::default(),
        tag: 0,
    };
    let (mut end, mut sha256) = (Bytes::new(), Bytes::new());
    while let Some((&tag, rest)) = input.split_first() {
        input = rest;
        match tag {
            tag::KEY => {
                op.key = encoded.slice_ref(varint::take_bytes(&mut input).ok_or(CUT)?);
            }
            tag::VALUE => {
                op.value = encoded.slice_ref(varint::take_bytes(&mut input).ok_or(CUT)?);
            }
            tag::KIND => {
                op.kind = match varint::take(&mut input).ok_or(CUT)? {
                    0 => LogOpKind::Put,
                    1 => LogOpKind::Delete,
                    2 => LogOpKind::Epoch,
                    3 => LogOpKind::Gained,
                    4 => LogOpKind::Lost,
                    5 => LogOpKind::RangeDelete,
                    6 => LogOpKind::Ingest,
                    _ => return Err("a kind of operation this version does not know"),
                };
            }
            tag::EXPIRES_AT => op.expires_at_ms = varint::take(&mut input).ok_or(CUT)?,
            tag::VERSION => op.version = varint::take(&mut input).ok_or(CUT)?,
            tag::REQUEST_SEQ => op.request.seq = varint::take(&mut input).ok_or(CUT)?,
            tag::CLIENT => {
                let (client, rest) = input.split_first_chunk::<8>().ok_or(CUT)?;
                op.request.client = u64::from_le_bytes(*client);
                input = rest;
            }
            tag::END_KEY => {
                end = encoded.slice_ref(varint::take_bytes(&mut input).ok_or(CUT)?);
            }
            tag::SST_SHA256 => {
                sha256 = encoded.slice_ref(varint::take_bytes(&mut input).ok_or(CUT)?);
            }
            _ => return Err(UNKNOWN),
        }
    }
    match op.kind {
        kind if kind.has_end() => op.value = end,
        LogOpKind::Ingest if sha256.len() == SHA256_BYTES => {
            op.value = [sha256, end].concat().into();
        }
        LogOpKind::Ingest => return Err("an ingest without the checksum of its file"),
        _ if end.is_empty() && sha256.is_empty() => {}
        _ => return Err("a range where none belongs"),
    }
    Ok(op)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::options::SyncMode;

    fn sample() -> LogRecord {
        let op = |kind, key: &'static str, value: &'static str, client, version| LogOp {
            kind,
            key: Bytes::from_static(key.as_bytes()),
            value: Bytes::from_static(value.as_bytes()),
            expires_at_ms: client * 7,
            version,
            request: RequestId { client, seq: 300 },
            tag: 0,
        };
        let ops = vec![
            op(LogOpKind::Put, "key", "value", 9, 5),
            op(LogOpKind::Put, "empty", "", 0, 0),
            op(LogOpKind::Delete, "gone", "", u64::MAX / 8, 0),
            op(LogOpKind::Epoch, "", "", 0, 0),
            op(LogOpKind::RangeDelete, "a", "b", 3, 0),
            op(LogOpKind::RangeDelete, "", "", 0, 0),
            op(LogOpKind::Gained, "a", "b", 0, 0),
            op(LogOpKind::Lost, "a", "b", 0, 0),
            op(
                LogOpKind::Ingest,
                "a",
                "0123456789abcdef0123456789abcdefend",
                4,
                0,
            ),
        ];
        LogRecord::new(3, 1 << 33, 17, 1_700_000_000_000, ops)
    }

    #[test]
    fn decodes_what_was_encoded() {
        let record = sample();
        assert_eq!(LogRecord::decode(record.encoded().clone()).unwrap(), record);
        assert_eq!(record.ops[0].version, 5);
        assert_eq!(record.ops[1].version, 1 << 33);
        assert_eq!(record.ops[4].end_key(), Some(b"b".as_slice()));
        assert_eq!(record.ops[7].end_key(), Some(b"b".as_slice()));
        assert_eq!(record.ops[8].end_key(), Some(b"end".as_slice()));
        assert_eq!(
            record.ops[8].sst_sha256(),
            Some(*b"0123456789abcdef0123456789abcdef")
        );
    }

    #[test]
    fn a_plain_record_is_what_would_be_read_back() {
        let mut put = Op::put("key", "value").with_expiry(7);
        put.request = RequestId {
            client: 9,
            seq: 300,
        };
        let ops = vec![
            put,
            Op::put("empty", ""),
            Op::delete("gone"),
            Op::delete_range(&crate::range::Range::between("a", "b")).unwrap(),
            Op::delete_range(&crate::range::Range::all()).unwrap(),
        ];
        let header = Header {
            epoch: 3,
            lsn: 1 << 33,
            previous_lsn: 17,
            clock_ms: 1_700_000_000_000,
        };
        for op in &ops[..3] {
            let mut batch: Batch = vec![op.clone()].into();
            let (mut one, mut single) = (Vec::new(), Vec::new());
            put_record(&mut one, header, batch.ops.iter());
            put_single(&mut single, header, &Single::of(&batch).unwrap());
            assert_eq!(single, one);
            batch.sync = Some(SyncMode::Group);
            assert!(Single::of(&batch).is_none());
        }
        let mut buffer = Vec::new();
        put_record(&mut buffer, header, ops.iter());
        let decoded = LogRecord::decode(buffer.into()).unwrap();
        let keep = |value| value;
        let mut plain = LogRecord::plain(Vec::new(), header, ops.into_iter(), keep);
        plain.encoded = decoded.encoded.clone();
        assert_eq!(plain, decoded);
    }

    #[test]
    fn a_cut_or_flipped_record_never_panics() {
        let record = sample();
        let bytes = record.encoded().to_vec();
        for cut in 0..bytes.len() {
            let _ = LogRecord::decode(Bytes::copy_from_slice(&bytes[..cut]));
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = LogRecord::decode(bytes.into());
        }
    }
}
