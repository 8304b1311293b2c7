//! How many keys a store holds that nobody is shown: those of imports, until they are gained or wiped (M3).
//!
//! As rough as the number of all keys is: it counts what was imported, whether or not it was there before. A store that is
//! opened with an import in it begins with a wipe of that, so nothing is kept of it.

use std::collections::HashMap;
use std::sync::Mutex;

use aidb_lsm::{LogOp, LogOpKind};

use super::sessions::locked;
use super::slots_touched;

#[derive(Default)]
pub struct Hidden(Mutex<HashMap<u16, u64>>);

impl Hidden {
    /// These operations of an import were logged.
    pub fn note(&self, ops: &[LogOp]) {
        let mut by_slot = locked(&self.0);
        for op in ops {
            let Some((first, last)) = slots_touched(op) else {
                continue;
            };
            match op.kind {
                LogOpKind::Put => *by_slot.entry(first).or_default() += 1,
                LogOpKind::Delete => {
                    let count = by_slot.entry(first).or_default();
                    *count = count.saturating_sub(1);
                }
                LogOpKind::RangeDelete | LogOpKind::Gained => {
                    by_slot.retain(|slot, _| !(first..=last).contains(slot));
                }
                _ => {}
            }
        }
    }

    pub fn keys(&self) -> u64 {
        locked(&self.0).values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primary::moving::naming;

    fn put(slot: u16) -> LogOp {
        let key = [&slot.to_be_bytes()[..], b"\0k"].concat();
        LogOp {
            kind: LogOpKind::Put,
            key: key.into(),
            ..naming(LogOpKind::Gained, &[(slot, slot)]).remove(0)
        }
    }

    #[test]
    fn what_was_imported_is_hidden_until_it_is_gained_or_wiped() {
        let hidden = Hidden::default();
        hidden.note(&[put(5), put(5), put(6), put(9)]);
        assert_eq!(hidden.keys(), 4);
        hidden.note(&naming(LogOpKind::Gained, &[(5, 5)]));
        assert_eq!(hidden.keys(), 2);
        hidden.note(&naming(LogOpKind::RangeDelete, &[(6, 8)]));
        assert_eq!(hidden.keys(), 1);
    }
}
