//! Cores of their own for servers and generator, so that neither takes the other's time.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores of this thread in two halves; None when there is but one.
pub fn halves() -> Option<(CpuSet, CpuSet)> {
    let all = sched_getaffinity(None).ok()?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|&core| all.is_set(core))
        .collect();
    let (servers, generator) = cores.split_at(cores.len() / 2);
    (!servers.is_empty()).then(|| (of(servers), of(generator)))
}

/// What this thread starts from now on, threads and programs, runs on `cores`.
pub fn keep_to(cores: &CpuSet) -> Result<(), String> {
    sched_setaffinity(None, cores).map_err(|error| format!("no cores of its own: {error}"))
}

fn of(cores: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    set
}
