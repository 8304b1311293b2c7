//! V2: the engine encodes log records by hand, for speed. Byte for byte it has to be the encoding of the contract.

use aidb_client::pb;
use aidb_client::pb::log_operation::Kind;
use aidb_lsm::{LogOp, LogOpKind, LogRecord, RequestId};
use bytes::Bytes;
use prost::Message;

fn number(rng: &mut fastrand::Rng) -> u64 {
    match rng.u8(0..4) {
        0 => 0,
        1 => rng.u64(1..200),
        2 => u64::MAX,
        _ => rng.u64(..) >> rng.u32(0..64),
    }
}

fn bytes(rng: &mut fastrand::Rng) -> Bytes {
    let length = rng.usize(0..300);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

fn random_record(rng: &mut fastrand::Rng) -> LogRecord {
    let lsn = number(rng).max(1);
    let ops = (0..rng.usize(0..5)).map(|_| {
        let kind = [
            LogOpKind::Put,
            LogOpKind::Delete,
            LogOpKind::Epoch,
            LogOpKind::RangeDelete,
            LogOpKind::Gained,
            LogOpKind::Lost,
            LogOpKind::Ingest,
        ][rng.usize(0..5)];
        LogOp {
            kind,
            key: bytes(rng),
            value: match kind {
                LogOpKind::Put | LogOpKind::RangeDelete | LogOpKind::Gained | LogOpKind::Lost => {
                    bytes(rng)
                }
                LogOpKind::Ingest => [Bytes::from(vec![rng.u8(..); 32]), bytes(rng)]
                    .concat()
                    .into(),
                LogOpKind::Delete | LogOpKind::Epoch => Bytes::new(),
            },
            expires_at_ms: number(rng),
            version: if rng.bool() { lsn } else { number(rng).max(1) },
            request: RequestId {
                client: number(rng),
                seq: number(rng),
            },
            tag: 0,
        }
    });
    let ops = ops.collect::<Vec<_>>();
    LogRecord::new(number(rng), lsn, number(rng), number(rng), ops)
}

fn contract(record: &LogRecord) -> pb::LogRecord {
    let ops = record.ops.iter().map(|op| pb::LogOperation {
        kind: match op.kind {
            LogOpKind::Put => Kind::Put,
            LogOpKind::Delete => Kind::Delete,
            LogOpKind::Epoch => Kind::Epoch,
            LogOpKind::RangeDelete => Kind::RangeDelete,
            LogOpKind::Gained => Kind::SlotsGained,
            LogOpKind::Lost => Kind::SlotsLost,
            LogOpKind::Ingest => Kind::Ingest,
        }
        .into(),
        key: op.key.clone(),
        value: match op.kind {
            LogOpKind::Put => op.value.clone(),
            _ => Bytes::new(),
        },
        end_key: op.end_key().map(Bytes::copy_from_slice).unwrap_or_default(),
        sst_sha256: op
            .sst_sha256()
            .map(|sum| Bytes::copy_from_slice(&sum))
            .into_iter()
            .collect(),
        expires_at_unix_ms: op.expires_at_ms,
        version: if op.version == record.lsn {
            0
        } else {
            op.version
        },
        client: op.request.client,
        request_seq: op.request.seq,
        ..Default::default()
    });
    pb::LogRecord {
        format: 1,
        epoch: record.epoch,
        lsn: record.lsn,
        previous_lsn: record.previous_lsn,
        clock_ms: record.clock_ms,
        ops: ops.collect(),
    }
}

#[test]
fn the_engine_writes_what_the_contract_says() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..2000 {
        let record = random_record(&mut rng);
        let encoded = contract(&record).encode_to_vec();
        assert_eq!(record.encoded()[..], encoded[..], "{record:?}");
        assert_eq!(LogRecord::decode(encoded.into()).unwrap(), record);
    }
}

#[test]
fn what_this_version_cannot_replay_is_refused() {
    let op = pb::LogOperation {
        kind: Kind::SlotsLost.into(),
        slots: vec![pb::SlotSpan { first: 1, last: 2 }],
        ..Default::default()
    };
    let record = pb::LogRecord {
        format: 1,
        lsn: 7,
        ops: vec![op],
        ..Default::default()
    };
    assert!(LogRecord::decode(record.encode_to_vec().into()).is_err());
}
