//! What the native side tells Python.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The coordinator does not know this process: register anew, with a new epoch.
    RegisterAgain,
    /// An administrator asks for the end; zero = the configured grace.
    Drain { grace: Duration },
    /// An administrator asks for a snapshot.
    Backup { name: String },
    /// The topology has a successor that took an epoch as planned: stop, archive, seal, release (D6).
    HandOver { epoch: u64 },
    /// Something that is for administrators was asked for, and what became of it: for the audit log.
    Act {
        who: String,
        method: &'static str,
        asked: String,
        outcome: String,
    },
    /// For the log.
    Notice { message: String },
    /// The program cannot go on.
    Failed { reason: String },
}
