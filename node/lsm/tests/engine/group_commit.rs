//! Writers share syncs, and LSNs become visible in order.

use std::collections::BTreeSet;
use std::thread;

use crate::support::{FaultIo, contents, open, put};

#[test]
fn concurrent_writers_get_distinct_lsns_and_see_their_writes() {
    let store = open(&FaultIo::default());
    let lsns: Vec<u64> = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    let mut lsns = Vec::new();
                    for number in 0..100 {
                        let lsn = put(store, &format!("w{writer}:{number:03}"), "v");
                        assert!(store.visible_lsn() >= lsn && store.synced_lsn() >= lsn);
                        assert!(lsns.last().is_none_or(|last| *last < lsn));
                        lsns.push(lsn);
                    }
                    lsns
                })
            })
            .collect();
        writers
            .into_iter()
            .flat_map(|writer| writer.join().unwrap())
            .collect()
    });
    assert_eq!(lsns.iter().collect::<BTreeSet<_>>().len(), 800);
    assert_eq!(contents(&store.snapshot()).unwrap().len(), 800);
}
