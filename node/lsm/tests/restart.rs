use aidb_lsm::{Batch, Condition, Direction, Op, Options, Outcome, Range, Store};

#[test]
fn written_values_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Options::default()).unwrap();
    let first = store
        .write(vec![Op::put("b", "2"), Op::put("a", "1")].into())
        .unwrap();
    assert_eq!(
        (first.lsn, store.synced_lsn(), store.visible_lsn()),
        (1, 1, 1)
    );
    store.write(vec![Op::delete("b")].into()).unwrap();
    assert_eq!(store.begin_epoch(4).unwrap(), 2);
    let records = store.records_after(0, 1 << 20).unwrap();
    assert_eq!(records.len(), 3);
    store.close().unwrap();

    let store = Store::open(dir.path(), Options::default()).unwrap();
    assert_eq!(store.epoch(), 4);
    assert_eq!(store.records_after(0, 1 << 20).unwrap(), records);
    let third = store
        .write(Batch {
            ops: vec![
                Op::put("a", "x").with_condition(Condition::IfAbsent),
                Op::put("c", "3"),
            ],
            ..Batch::default()
        })
        .unwrap();
    assert!(matches!(
        third.outcomes[0],
        Outcome::ConditionFailed { current: Some(_) }
    ));
    assert_eq!(third.lsn, 3 + (1 << 32));
    for direction in [Direction::Forward, Direction::Reverse] {
        let mut keys: Vec<_> = store
            .snapshot()
            .scan(Range::all(), direction)
            .unwrap()
            .map(|item| item.unwrap().0)
            .collect();
        if direction == Direction::Reverse {
            keys.reverse();
        }
        assert_eq!(keys, ["a", "c"]);
    }
}
