//! Without sync, a later segment may reach the disk while an earlier one, even the first, does not.

use aidb_lsm::{Options, Store, SyncMode};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::support::{FaultIo, Loss, contents, dir, put, small};

#[test]
fn a_log_whose_first_segment_was_never_synced_is_no_damage() {
    let io = FaultIo::default();
    let options = |io: &FaultIo| Options {
        sync: SyncMode::None,
        memtable_bytes: 1 << 20,
        ..small(io)
    };
    let store = Store::open(dir(), options(&io)).unwrap();
    for number in 1..=150 {
        put(&store, &format!("{number:03}"), &"v".repeat(50));
    }
    let mut lengths = [0, 0];
    for seed in 0..100 {
        let (after, lost) = io.crash(Loss::Some, &mut StdRng::seed_from_u64(seed));
        let opened = Store::open(dir(), options(&after)).unwrap();
        let found = contents(&opened.snapshot()).unwrap();
        let expected = (1..=found.len()).map(|number| format!("{number:03}").into_bytes());
        assert!(found.into_keys().eq(expected), "a hole, seed {seed}");
        lengths[usize::from(opened.visible_lsn() > 0)] += 1;
        assert!(lost.bytes > 0 || store.synced_lsn() > 0);
    }
    assert!(store.synced_lsn() > 0 || lengths[0] > 10, "{lengths:?}");
}
