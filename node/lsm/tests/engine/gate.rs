//! The gate judges under the sequencer, and replay tells it what was there (V6).

use std::sync::{Arc, Mutex};

use aidb_lsm::{Gate, LogRecord, Op, Options, Outcome, Store, Verdict};

use crate::support::{FaultIo, dir, get, small};

#[derive(Clone, Default)]
struct Recorder {
    replayed: Arc<Mutex<Vec<u64>>>,
    sequenced: Arc<Mutex<Vec<u64>>>,
}

impl Gate for Recorder {
    fn replayed(&mut self, record: &LogRecord) {
        self.replayed.lock().unwrap().push(record.lsn);
    }

    fn judge(&mut self, op: &Op, _clock_ms: u64) -> Verdict {
        match op.tag {
            7 => Verdict::Refuse(20),
            8 => Verdict::Duplicate { version: 3 },
            _ => Verdict::Apply,
        }
    }

    fn sequenced(&mut self, _op: &Op, lsn: u64, _clock_ms: u64) {
        self.sequenced.lock().unwrap().push(lsn);
    }
}

#[test]
fn verdicts_are_per_operation_and_replay_repeats_what_was_sequenced() {
    let io = FaultIo::default();
    let open = |gate: &Recorder| {
        let gate: Option<Box<dyn Gate>> = Some(Box::new(gate.clone()));
        Store::open(dir(), Options { gate, ..small(&io) }).unwrap()
    };
    let gate = Recorder::default();
    let store = open(&gate);
    let tagged = |key: &str, tag| Op {
        tag,
        ..Op::put(key, "v")
    };
    let ops = vec![tagged("a", 0), tagged("b", 7), tagged("c", 8)];
    let committed = store.write(ops.into()).unwrap();
    assert!(matches!(committed.outcomes[0], Outcome::Applied { .. }));
    assert!(matches!(committed.outcomes[1], Outcome::Refused(20)));
    assert!(matches!(
        committed.outcomes[2],
        Outcome::Duplicate { version: 3 }
    ));
    assert_eq!((get(&store, "b"), get(&store, "c")), (None, None));
    store.close().unwrap();
    let again = Recorder::default();
    let _store = open(&again);
    assert_eq!(
        *again.replayed.lock().unwrap(),
        *gate.sequenced.lock().unwrap()
    );
}
