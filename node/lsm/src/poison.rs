use std::sync::OnceLock;

use crate::error::{Error, Result};

/// Why the store refuses writes, once it does. It stays so until the store is opened again: after
/// a failed fdatasync the kernel may have dropped the pages and reports success on the next try.
#[derive(Default)]
pub(crate) struct Poison(OnceLock<String>);

impl Poison {
    /// The first reason stays.
    pub(crate) fn set(&self, reason: String) {
        let _ = self.0.set(reason);
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.reason() {
            Some(reason) => Err(Error::Poisoned(reason.to_owned())),
            None => Ok(()),
        }
    }
}
