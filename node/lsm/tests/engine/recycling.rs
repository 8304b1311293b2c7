//! Segments are used again; what an older use left in them is never replayed.

use crate::support::{FaultIo, contents, get, open, put};

#[test]
fn stale_frames_of_a_reused_segment_stay_dead() {
    let io = FaultIo::default();
    let mut store = open(&io);
    for round in 0..6 {
        for number in 0..150 {
            put(
                &store,
                &format!("key{number:03}"),
                &format!("round {round} {}", "v".repeat(100)),
            );
        }
        store.flush().unwrap();
        put(&store, "last", &round.to_string());
        let before = contents(&store.snapshot()).unwrap();
        let lsn = store.visible_lsn();
        drop(store);
        store = open(&io);
        assert_eq!(store.visible_lsn(), lsn);
        assert_eq!(contents(&store.snapshot()).unwrap(), before);
        assert_eq!(get(&store, "last"), Some(round.to_string()));
    }
}
