//! A checkpoint is a store of its own.

use std::path::Path;

use aidb_lsm::{Error, Store};

use crate::support::{FaultIo, contents, get, open, put, small};

#[test]
fn a_checkpoint_opens_with_the_state_of_its_lsn() {
    let io = FaultIo::default();
    let store = open(&io);
    for number in 0..500 {
        put(&store, &format!("key{number:03}"), &"v".repeat(50));
    }
    let expected = contents(&store.snapshot()).unwrap();
    let path = Path::new("/checkpoint");
    let checkpoint = store.checkpoint(path).unwrap();
    assert_eq!(checkpoint.lsn, store.visible_lsn());
    for number in 0..500 {
        put(&store, &format!("key{number:03}"), "changed since");
    }
    store.compact().unwrap();
    let copy = Store::open(path, small(&io)).unwrap();
    assert_eq!(contents(&copy.snapshot()).unwrap(), expected);
    put(&copy, "own", "life");
    assert_eq!(get(&store, "own"), None);
}

#[test]
fn an_existing_folder_is_not_written_over() {
    let io = FaultIo::default();
    let store = open(&io);
    put(&store, "k", "v");
    let path = Path::new("/checkpoint");
    store.checkpoint(path).unwrap();
    assert!(matches!(
        store.checkpoint(path),
        Err(Error::Invalid(_) | Error::Io { .. })
    ));
}
