//! Conditions are judged against the newest sequenced state.

use aidb_lsm::{Batch, Condition, Op, Outcome};

use crate::support::{FaultIo, delete, get, open, put};

#[test]
fn each_condition_holds_or_says_what_it_found() {
    let store = open(&FaultIo::default());
    let version = put(&store, "k", "one");
    let outcome = |condition| {
        let op = Op::put("k", "two").with_condition(condition);
        store.write(vec![op].into()).unwrap().outcomes.remove(0)
    };
    for refused in [Condition::IfAbsent, Condition::IfVersion(version + 1)] {
        match outcome(refused) {
            Outcome::ConditionFailed {
                current: Some(found),
            } => {
                assert_eq!((found.version, &found.value[..]), (version, &b"one"[..]));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(
        outcome(Condition::IfVersion(version)),
        Outcome::Applied { .. }
    ));
    assert_eq!(get(&store, "k").as_deref(), Some("two"));
    delete(&store, "k");
    assert!(matches!(
        outcome(Condition::IfExists),
        Outcome::ConditionFailed { current: None }
    ));
    assert!(matches!(
        outcome(Condition::IfAbsent),
        Outcome::Applied { .. }
    ));
}

#[test]
fn an_atomic_batch_is_applied_whole_or_not_at_all() {
    let store = open(&FaultIo::default());
    put(&store, "taken", "x");
    let ops = vec![
        Op::put("new", "y"),
        Op::put("taken", "y").with_condition(Condition::IfAbsent),
    ];
    let atomic = Batch {
        atomic: true,
        ..Batch::from(ops.clone())
    };
    let outcomes = store.write(atomic).unwrap().outcomes;
    assert!(matches!(outcomes[0], Outcome::NotApplied), "{outcomes:?}");
    assert_eq!(
        (get(&store, "new"), get(&store, "taken").as_deref()),
        (None, Some("x"))
    );
    let outcomes = store.write(ops.into()).unwrap().outcomes;
    assert!(
        matches!(outcomes[0], Outcome::Applied { .. }),
        "{outcomes:?}"
    );
    assert_eq!(get(&store, "new").as_deref(), Some("y"));
}

#[test]
fn later_operations_of_a_batch_see_the_earlier_ones() {
    let store = open(&FaultIo::default());
    let ops = vec![
        Op::put("k", "first").with_condition(Condition::IfAbsent),
        Op::put("k", "second").with_condition(Condition::IfExists),
        Op::put("k", "third").with_condition(Condition::IfAbsent),
    ];
    let outcomes = store.write(ops.into()).unwrap().outcomes;
    assert!(
        matches!(outcomes[2], Outcome::ConditionFailed { .. }),
        "{outcomes:?}"
    );
    assert_eq!(get(&store, "k").as_deref(), Some("second"));
}
