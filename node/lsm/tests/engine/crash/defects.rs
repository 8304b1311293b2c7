//! The crash test bites: with a sync left out here or there it finds what is lost.

use std::path::Path;

use super::life::Defect;
use super::run;

/// More than enough: what is left out is found in the first few lives.
const ROUNDS: u64 = 1500;

fn extension(path: &Path, of: &str) -> bool {
    path.extension().is_some_and(|extension| extension == of)
}

fn is_found(name: &str, defect: Defect) {
    let tally = run(ROUNDS, name, Some(defect), |tally| tally.violations > 0);
    println!("{name}: found after {} crashes", tally.rounds);
    assert!(
        tally.violations > 0,
        "{name} was not found in {ROUNDS} crashes"
    );
}

#[test]
fn a_syncer_that_does_not_sync_is_found() {
    is_found("no sync of the log", |path| extension(path, "log"));
}

#[test]
fn tables_that_are_not_synced_are_found() {
    is_found("no sync of tables", |path| extension(path, "sst"));
}

#[test]
fn a_manifest_that_is_not_synced_is_found() {
    is_found("no sync of the manifest", |path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST"))
    });
}

#[test]
fn a_missing_sync_of_the_directory_of_tables_is_found() {
    is_found("no sync of sst/", |path| path.ends_with("sst"));
}

#[test]
fn a_missing_sync_of_the_directory_of_the_log_is_found() {
    is_found("no sync of log/", |path| path.ends_with("log"));
}

#[test]
fn a_missing_sync_of_the_directory_of_the_manifest_is_found() {
    is_found("no sync of the store's directory", |path| {
        path.ends_with("store")
    });
}
