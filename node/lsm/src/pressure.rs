//! Backpressure: writers are slowed by debt, smoothly, before they have to wait. Pure.
//!
//! Each kind of debt has a place where slowing begins and one where writers wait. Between them the
//! rate falls continuously, so that it settles where the flusher or compactor keeps up: nobody waits
//! unless they do less than the slowest rate.

use crate::options::Config;

/// Memtables at which slowing begins and at which writers wait. The one that is filling counts by how
/// full it is, the one being flushed by what is left of it: in whole memtables, the debt would jump,
/// and the rate with it. In memory there is at most one more.
const SLOW_MEMTABLES: f64 = 2.0;
const STOP_MEMTABLES: f64 = 3.0;
/// What a writer gets when slowing begins and when it is at its strongest.
const FASTEST: f64 = 64.0 * 1024.0 * 1024.0;
const SLOWEST: f64 = 512.0 * 1024.0;
/// Debt of the deeper levels, in sizes of L1, at which slowing begins and ends.
const SLOW_DEBT: u64 = 16;
const STOP_DEBT: u64 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Load {
    pub full_memtables: usize,
    /// Of the one that is filling.
    pub memtable_bytes: usize,
    /// What is written of the one that is being flushed.
    pub flushed_bytes: usize,
    pub l0_files: usize,
    /// Bytes that the levels hold beyond their targets.
    pub debt_bytes: u64,
    /// Bytes of the log that the archive lacks.
    pub unarchived_bytes: u64,
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
    Refuse(&'static str),
    DiskFull,
}

/// Who is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Writers somebody waits for: they are slowed before they are stopped.
    Smooth,
    /// A replay: it is as fast as can be, and stops where it has to.
    Bulk,
}

pub(crate) fn admission(load: &Load, config: &Config) -> Admission {
    let archive = config.archive_lag_bytes;
    if archive > 0 && load.unarchived_bytes >= archive {
        return Admission::Refuse("the archive is too far behind");
    }
    let part_of = |bytes: usize| (bytes as f64 / config.memtable_bytes.max(1) as f64).min(1.0);
    let unflushed = load.full_memtables as f64 - part_of(load.flushed_bytes);
    let memtables = unflushed.max(0.0) + part_of(load.memtable_bytes);
    let behind = [
        (
            memtables >= STOP_MEMTABLES,
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
    let memtables = (memtables - SLOW_MEMTABLES) / (STOP_MEMTABLES - SLOW_MEMTABLES);
    let archive = if archive > 0 {
        part(load.unarchived_bytes, archive / 2, archive)
    } else {
        0.0
    };
    let part = l0.max(debt).max(memtables).max(archive);
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

    /// A flusher of some speed and writers as fast as they may: simulated, in steps of one write.
    /// Returns the rate of the second half and the longest time that one write took.
    fn simulate(flush_bytes_per_second: f64, config: &Config) -> (f64, f64) {
        const WRITE: usize = 16 << 10;
        const WRITES: usize = 100_000;
        // What a write costs that nothing slows: 1 GB/s.
        let unslowed = WRITE as f64 / 1e9;
        let (mut load, mut flushed) = (Load::default(), 0.0);
        let (mut now, mut half, mut longest) = (0.0, 0.0, 0.0f64);
        for write in 0..WRITES {
            let began = now;
            loop {
                let took = match admission(&load, config) {
                    Admission::Now => unslowed,
                    Admission::Slow { bytes_per_second } => WRITE as f64 / bytes_per_second,
                    Admission::Wait(_) => 0.001,
                    Admission::Refuse(_) | Admission::DiskFull => panic!("nothing is refused here"),
                };
                let waits = matches!(admission(&load, config), Admission::Wait(_));
                now += took;
                if load.full_memtables > 0 {
                    flushed += took * flush_bytes_per_second;
                }
                if flushed >= config.memtable_bytes as f64 {
                    load.full_memtables -= 1;
                    flushed = 0.0;
                }
                load.flushed_bytes = flushed as usize;
                if !waits {
                    break;
                }
            }
            load.memtable_bytes += WRITE;
            if load.memtable_bytes >= config.memtable_bytes {
                load.full_memtables += 1;
                load.memtable_bytes = 0;
            }
            longest = longest.max(now - began);
            if write == WRITES / 2 {
                half = now;
            }
        }
        (((WRITES / 2) * WRITE) as f64 / (now - half), longest)
    }

    #[test]
    fn the_rate_settles_at_the_flushers_without_a_stall() {
        let config = Options::default().config();
        for flush in [2e6, 10e6, 50e6] {
            let (rate, longest) = simulate(flush, &config);
            assert!((0.9..1.1).contains(&(rate / flush)), "{rate} of {flush}");
            // A stop for a whole memtable would take seconds; slowing alone a few writes' time.
            let bound = 4.0 * (16 << 10) as f64 / SLOWEST;
            assert!(
                longest < bound,
                "{longest} s at {flush}, {bound} s is the bound"
            );
        }
    }

    #[test]
    fn the_rate_falls_without_a_step_as_memtables_fill() {
        let config = Options::default().config();
        let mut last = FASTEST;
        for percent in 1..100 {
            let load = Load {
                full_memtables: 2,
                memtable_bytes: config.memtable_bytes / 100 * percent,
                ..Load::default()
            };
            let Admission::Slow { bytes_per_second } = admission(&load, &config) else {
                panic!("not slowed at {percent} %");
            };
            assert!(bytes_per_second <= last && last - bytes_per_second < FASTEST / 40.0);
            last = bytes_per_second;
        }
        assert!(last <= SLOWEST * 1.1);
    }

    #[test]
    fn slows_and_then_refuses_for_an_archive_that_is_behind() {
        let options = Options {
            archive_lag_bytes: Some(1000),
            ..Options::default()
        };
        let config = options.config();
        let at = |unarchived_bytes| {
            let load = Load {
                unarchived_bytes,
                ..Load::default()
            };
            admission(&load, &config)
        };
        assert_eq!(at(500), Admission::Now);
        assert!(matches!(at(501), Admission::Slow { .. }));
        assert!(
            matches!(at(999), Admission::Slow { bytes_per_second } if bytes_per_second == SLOWEST)
        );
        assert!(matches!(at(1000), Admission::Refuse(_)));
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
