//! Backpressure: writers are slowed by debt, smoothly, before they have to wait. Pure.

use crate::options::Config;

/// Memtables that may wait for the flusher.
const MAX_FULL_MEMTABLES: usize = 3;
/// What a writer gets when slowing begins and when it is at its strongest.
const FASTEST: f64 = 64.0 * 1024.0 * 1024.0;
const SLOWEST: f64 = 512.0 * 1024.0;
/// Debt of the deeper levels, in sizes of L1, at which slowing begins and ends.
const SLOW_DEBT: u64 = 16;
const STOP_DEBT: u64 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Load {
    pub full_memtables: usize,
    pub l0_files: usize,
    /// Bytes that the levels hold beyond their targets.
    pub debt_bytes: u64,
    /// The last flush or compaction found the disk full.
    pub disk_full: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Admission {
    Now,
    Slow {
        bytes_per_second: f64,
    },
    Wait(&'static str),
    /// Waiting might last for ever.
    DiskFull,
}

pub(crate) fn admission(load: &Load, config: &Config) -> Admission {
    let behind = [
        (
            load.full_memtables >= MAX_FULL_MEMTABLES,
            "memtables wait for their flush",
        ),
        (
            load.l0_files >= config.l0_stop_at,
            "L0 waits for compaction",
        ),
        (
            load.debt_bytes >= STOP_DEBT * config.level_base_bytes,
            "levels wait for compaction",
        ),
    ];
    if let Some((_, reason)) = behind.iter().find(|(stop, _)| *stop) {
        return if load.disk_full {
            Admission::DiskFull
        } else {
            Admission::Wait(reason)
        };
    }
    let l0 = part(
        load.l0_files as u64,
        config.l0_slow_at as u64,
        config.l0_stop_at as u64,
    );
    let base = config.level_base_bytes;
    let debt = part(load.debt_bytes, SLOW_DEBT * base, STOP_DEBT * base);
    let part = l0.max(debt);
    if part <= 0.0 {
        return Admission::Now;
    }
    Admission::Slow {
        bytes_per_second: (FASTEST * (1.0 - part).powi(2)).max(SLOWEST),
    }
}

/// 0 below `from`, 1 at `to`.
fn part(value: u64, from: u64, to: u64) -> f64 {
    value.saturating_sub(from) as f64 / to.saturating_sub(from).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    #[test]
    fn slows_step_by_step_and_only_then_stops() {
        let config = Options::default().config();
        let mut last = f64::INFINITY;
        for l0_files in 0..config.l0_stop_at {
            let load = Load {
                l0_files,
                ..Load::default()
            };
            match admission(&load, &config) {
                Admission::Now => assert!(l0_files <= config.l0_slow_at),
                Admission::Slow { bytes_per_second } => {
                    assert!(
                        bytes_per_second < last && bytes_per_second > last / 5.0
                            || last.is_infinite()
                    );
                    last = bytes_per_second;
                }
                other => panic!("{other:?} at {l0_files} files"),
            }
        }
        let stopped = Load {
            l0_files: config.l0_stop_at,
            ..Load::default()
        };
        assert!(matches!(admission(&stopped, &config), Admission::Wait(_)));
    }

    #[test]
    fn refuses_instead_of_waiting_for_a_full_disk() {
        let config = Options::default().config();
        let load = Load {
            full_memtables: 3,
            disk_full: true,
            ..Load::default()
        };
        assert_eq!(admission(&load, &config), Admission::DiskFull);
        let load = Load {
            disk_full: true,
            ..Load::default()
        };
        assert_eq!(admission(&load, &config), Admission::Now);
    }
}
