//! A folder that is no store of ours is refused and left as it is.

use std::fs;

use aidb_lsm::{Error, Options, Store};

use crate::support::put;

#[test]
fn a_second_open_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options::default()).unwrap();
    let second = Store::open(folder.path(), Options::default());
    assert!(matches!(second, Err(Error::Locked { .. })));
    put(&store, "k", "v");
    store.close().unwrap();
    Store::open(folder.path(), Options::default()).unwrap();
}

#[test]
fn a_foreign_folder_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    let opened = Store::open(folder.path(), Options::default());
    assert!(matches!(opened, Err(Error::NotAStore { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_missing_store_is_made_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none");
    let options = Options {
        create: false,
        ..Options::default()
    };
    assert!(Store::open(&path, options).is_err());
    assert!(!path.exists());
}
