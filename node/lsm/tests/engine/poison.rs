//! After a failed sync the store refuses writes and says why; what is safe can be read; a new open goes on.

use std::io;

use aidb_lsm::{Error, Op};

use crate::support::{FaultIo, get, open, put};

#[test]
fn a_failed_sync_poisons() {
    let fs = FaultIo::default();
    let store = open(&fs);
    put(&store, "safe", "v");
    fs.inject(|call, _| {
        call.contains("sync")
            .then(|| io::Error::other("the disk is gone"))
    });
    let write = |key: &str| store.write(vec![Op::put(key, "v")].into());
    let failed = write("lost");
    assert!(failed.is_err());
    assert!(matches!(write("more"), Err(Error::Poisoned(_))));
    assert!(
        store
            .stats()
            .poisoned
            .is_some_and(|why| why.contains("the disk is gone"))
    );
    assert_eq!(get(&store, "safe").as_deref(), Some("v"));
    assert_eq!(
        get(&store, "lost"),
        None,
        "nothing is shown that may be lost"
    );
    fs.heal();
    let _ = store.close();
    let store = open(&fs);
    assert_eq!(get(&store, "safe").as_deref(), Some("v"));
    put(&store, "more", "v");
}
