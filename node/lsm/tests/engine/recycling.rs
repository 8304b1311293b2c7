//! Segments are used again; what an older use left in them is never replayed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aidb_lsm::{Options, Store};

use crate::support::{FaultIo, contents, dir, get, open, put, small};

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

/// Where commits wait for syncs, the next segment gets its zeros once half of the one before is used, and it can do
/// without: what is written there before the zeros, behind them, and where they failed, is there.
#[test]
fn a_segment_gets_its_zeros_before_it_is_written() {
    const SEGMENT: usize = 4 << 20;
    for fails in [false, true] {
        let io = FaultIo::default();
        let zeros = Arc::new(AtomicUsize::new(0));
        let (second, count) = (Path::new("0000000000000002.log"), Arc::clone(&zeros));
        let first_write = AtomicBool::new(true);
        io.inject(move |call, path| {
            if call != "write" || !path.ends_with(second) {
                return None;
            }
            let first = first_write.swap(false, Ordering::Relaxed);
            count.fetch_add(1, Ordering::Relaxed);
            (fails && first).then(|| std::io::ErrorKind::Other.into())
        });
        let options = || Options {
            segment_bytes: SEGMENT as u64,
            memtable_bytes: 64 << 20,
            ..small(&io)
        };
        let store = Store::open(dir(), options()).unwrap();
        let value = "v".repeat(SEGMENT / 16);
        let key = |number: usize| format!("key{number:02}");
        for number in 0..7 {
            put(&store, &key(number), &value);
        }
        assert_eq!(zeros.load(Ordering::Relaxed), 0, "half is not used yet");
        put(&store, &key(7), &value);
        let wanted = if fails { 1 } else { 4 };
        let deadline = Instant::now() + Duration::from_secs(60);
        while zeros.load(Ordering::Relaxed) < wanted {
            assert!(Instant::now() < deadline, "no zeros are written");
            thread::yield_now();
        }
        for number in 8..40 {
            put(&store, &key(number), &value);
        }
        drop(store);
        let store = Store::open(dir(), options()).unwrap();
        for number in 0..40 {
            assert_eq!(get(&store, &key(number)).as_ref(), Some(&value));
        }
    }
}
