//! Decides in commit order what becomes of each operation (V6): first the gate, then the
//! condition, against the newest sequenced state, which includes the batches and operations before
//! it in the same group.

use std::collections::HashMap;

use crate::batch::{Batch, Condition, Entry, Gate, Op, OpKind, Outcome, Verdict};
use crate::error::Result;

/// Reads the newest sequenced value of a key from the tree.
pub(crate) type Lookup<'a> = &'a dyn Fn(&[u8]) -> Result<Option<Entry>>;

/// What operations sequenced but not yet inserted left behind. Kept only for groups with
/// conditions.
pub(crate) type Overlay = HashMap<Vec<u8>, Option<Entry>>;

pub(crate) struct Judge<'a> {
    pub gate: Option<&'a mut (dyn Gate + 'static)>,
    pub lookup: Lookup<'a>,
    pub overlay: Option<&'a mut Overlay>,
    pub lsn: u64,
    pub clock_ms: u64,
}

impl Judge<'_> {
    /// `outcomes[i]` answers `ops[i]`; those `Applied` make up the record.
    pub(crate) fn batch(&mut self, batch: &Batch) -> Result<Vec<Outcome>> {
        if let Some(gate) = &mut self.gate {
            gate.begin();
        }
        let mut outcomes = Vec::with_capacity(batch.ops.len());
        let mut written = Overlay::new();
        let mut refused = false;
        for op in &batch.ops {
            let outcome = self.op(op, &written)?;
            match outcome {
                Outcome::Applied { .. } => {
                    if self.overlay.is_some() {
                        written.insert(op.key.clone(), self.left_by(op));
                    }
                    if !batch.atomic {
                        self.sequenced(op);
                    }
                }
                Outcome::Refused(_) | Outcome::ConditionFailed { .. } => refused = true,
                Outcome::Duplicate { .. } | Outcome::NotApplied => {}
            }
            outcomes.push(outcome);
        }
        if batch.atomic && refused {
            for outcome in &mut outcomes {
                if matches!(outcome, Outcome::Applied { .. }) {
                    *outcome = Outcome::NotApplied;
                }
            }
            return Ok(outcomes);
        }
        if batch.atomic {
            for (op, outcome) in batch.ops.iter().zip(&outcomes) {
                if matches!(outcome, Outcome::Applied { .. }) {
                    self.sequenced(op);
                }
            }
        }
        if let Some(overlay) = &mut self.overlay {
            overlay.extend(written);
        }
        Ok(outcomes)
    }

    fn op(&mut self, op: &Op, written: &Overlay) -> Result<Outcome> {
        if let Some(gate) = &mut self.gate {
            match gate.judge(op, self.clock_ms) {
                Verdict::Apply => {}
                Verdict::Refuse(code) => return Ok(Outcome::Refused(code)),
                Verdict::Duplicate { version } => return Ok(Outcome::Duplicate { version }),
            }
        }
        if op.condition != Condition::None {
            let current = self.current(&op.key, written)?;
            if !holds(op.condition, current.as_ref()) {
                return Ok(Outcome::ConditionFailed { current });
            }
        }
        Ok(Outcome::Applied { version: self.lsn })
    }

    fn current(&self, key: &[u8], written: &Overlay) -> Result<Option<Entry>> {
        let overlay = self.overlay.as_deref();
        let newer = written
            .get(key)
            .or_else(|| overlay.and_then(|overlay| overlay.get(key)));
        match newer {
            Some(entry) => Ok(entry.clone()),
            None => (self.lookup)(key),
        }
    }

    fn left_by(&self, op: &Op) -> Option<Entry> {
        match &op.kind {
            // With conditions around, a range delete is alone in its batch and group.
            OpKind::Delete | OpKind::DeleteRange { .. } => None,
            OpKind::Put { expires_at_ms, .. }
                if *expires_at_ms != 0 && *expires_at_ms <= self.clock_ms =>
            {
                None
            }
            OpKind::Put {
                value,
                expires_at_ms,
            } => Some(Entry {
                value: value.clone(),
                version: self.lsn,
                expires_at_ms: *expires_at_ms,
            }),
        }
    }

    fn sequenced(&mut self, op: &Op) {
        if let Some(gate) = &mut self.gate {
            gate.sequenced(op, self.lsn, self.clock_ms);
        }
    }
}

fn holds(condition: Condition, current: Option<&Entry>) -> bool {
    match condition {
        Condition::None => true,
        Condition::IfAbsent => current.is_none(),
        Condition::IfExists => current.is_some(),
        Condition::IfVersion(version) => current.is_some_and(|entry| entry.version == version),
    }
}
