//! What a store must hold: a sorted map with the engine's rules of conditions, atomic batches and
//! expiry, as plain as possible.

use std::collections::BTreeMap;

use aidb_lsm::{Batch, Condition, Direction, Entry, OpKind, Outcome, Range, Snapshot};
use bytes::Bytes;

pub type Items = BTreeMap<Vec<u8>, Entry>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    items: Items,
}

impl Reference {
    /// What readers see at `clock_ms`.
    pub fn live(&self, clock_ms: u64) -> Items {
        let live = self
            .items
            .iter()
            .filter(|(_, entry)| !expired(entry, clock_ms));
        live.map(|(key, entry)| (key.clone(), entry.clone()))
            .collect()
    }

    pub fn get(&self, key: &[u8], clock_ms: u64) -> Option<&Entry> {
        let entry = self.items.get(key)?;
        (!expired(entry, clock_ms)).then_some(entry)
    }

    /// Commits the batch as the record `lsn`; `outcomes[i]` answers `ops[i]`.
    pub fn write(&mut self, batch: &Batch, lsn: u64, clock_ms: u64) -> Vec<Outcome> {
        let mut after = self.clone();
        let mut outcomes: Vec<Outcome> = Vec::new();
        for op in &batch.ops {
            let current = after.get(&op.key, clock_ms);
            let holds = match op.condition {
                Condition::None => true,
                Condition::IfAbsent => current.is_none(),
                Condition::IfExists => current.is_some(),
                Condition::IfVersion(version) => {
                    current.is_some_and(|found| found.version == version)
                }
            };
            if holds {
                outcomes.push(Outcome::Applied { version: lsn });
                after.apply(&op.key, &op.kind, lsn);
            } else {
                let current = current.cloned();
                outcomes.push(Outcome::ConditionFailed { current });
            }
        }
        let refused = outcomes.iter().any(|outcome| !is_applied(outcome));
        if batch.atomic && refused {
            let applied = outcomes.iter_mut().filter(|outcome| is_applied(outcome));
            applied.for_each(|outcome| *outcome = Outcome::NotApplied);
        } else {
            *self = after;
        }
        outcomes
    }

    fn apply(&mut self, key: &[u8], kind: &OpKind, lsn: u64) {
        match kind {
            OpKind::Put {
                value,
                expires_at_ms,
            } => {
                let entry = Entry {
                    value: value.clone(),
                    version: lsn,
                    expires_at_ms: *expires_at_ms,
                };
                self.items.insert(key.to_vec(), entry);
            }
            OpKind::Delete => {
                self.items.remove(key);
            }
            OpKind::DeleteRange { end } => self.remove_range(key, end),
        }
    }

    fn remove_range(&mut self, begin: &[u8], end: &Bytes) {
        let within = |key: &Vec<u8>| key.as_slice() >= begin && (end.is_empty() || key < end);
        self.items.retain(|key, _| !within(key));
    }

    /// `None` = a tombstone.
    pub fn ingest(&mut self, entries: &BTreeMap<Vec<u8>, Option<Entry>>) {
        for (key, entry) in entries {
            match entry {
                Some(entry) => self.items.insert(key.clone(), entry.clone()),
                None => self.items.remove(key),
            };
        }
    }
}

pub fn is_applied(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied { .. })
}

fn expired(entry: &Entry, clock_ms: u64) -> bool {
    entry.expires_at_ms != 0 && entry.expires_at_ms <= clock_ms
}

/// What a snapshot shows of the range, the same in both directions.
pub fn read(snapshot: &Snapshot, range: &Range) -> Result<Items, String> {
    let scan = |direction| {
        let scan = snapshot.scan(range.clone(), direction)?;
        scan.map(|item| item.map(|(key, entry)| (key.to_vec(), entry)))
            .collect::<aidb_lsm::Result<Vec<_>>>()
    };
    let forward = scan(Direction::Forward).map_err(|error| format!("scan: {error}"))?;
    let mut reverse = scan(Direction::Reverse).map_err(|error| format!("scan back: {error}"))?;
    reverse.reverse();
    if forward != reverse || !forward.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(format!(
            "{range:?}: forward {} and back {} keys differ",
            forward.len(),
            reverse.len()
        ));
    }
    Ok(forward.into_iter().collect())
}

/// The first keys of which `found` is not what was `expected`.
pub fn compare(found: &Items, expected: &Items) -> Result<(), String> {
    let keys = found.keys().chain(expected.keys());
    let differs = |key: &&Vec<u8>| found.get(*key) != expected.get(*key);
    let shown = |entry: Option<&Entry>| match entry {
        Some(entry) => {
            let value = String::from_utf8_lossy(&entry.value[..entry.value.len().min(24)]);
            format!(
                "{value:?} version {} expiry {}",
                entry.version, entry.expires_at_ms
            )
        }
        None => "nothing".to_owned(),
    };
    let wrong: Vec<String> = keys
        .filter(differs)
        .take(3)
        .map(|key| {
            let name = String::from_utf8_lossy(key);
            format!(
                "{name}: {} instead of {}",
                shown(found.get(key)),
                shown(expected.get(key))
            )
        })
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}
