//! What a process uses, by Linux's /proc.

use std::fs;
use std::time::Duration;

/// User and system time of the processes so far. In ticks of 10 ms: a window of some seconds has it within a percent.
pub fn cpu(pids: &[u32]) -> Duration {
    pids.iter().map(|pid| cpu_of(*pid)).sum()
}

/// Of this process.
pub fn own_cpu() -> Duration {
    cpu_of(std::process::id())
}

fn cpu_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ticks(&stat).map_or(Duration::ZERO, |ticks| {
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    })
}

/// The name, in parentheses, may hold blanks and parentheses itself.
fn ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let of = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(of(11)? + of(12)?)
}

/// The resident set, in bytes.
pub fn resident(pid: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = statm
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// The most that was resident since [`forget_most_resident`], in bytes.
pub fn most_resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    high_water(&status).unwrap_or(0) << 10
}

pub fn forget_most_resident(pid: u32) -> Result<(), String> {
    let file = format!("/proc/{pid}/clear_refs");
    fs::write(&file, "5").map_err(|error| format!("{file}: {error}"))
}

/// In KiB.
fn high_water(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Open file descriptors.
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_is_no_hindrance() {
        let stat = "12 (a) b (c)) S 1 1 1 0 -1 4194560 1 2 3 4 70 30 0 0 20 0 9 0 1 2 3";
        assert_eq!(ticks(stat), Some(100));
    }

    #[test]
    fn the_high_water_mark_is_one_line_of_many() {
        let status = "Name:\tx\nVmPeak:\t  200 kB\nVmHWM:\t  123 kB\nVmRSS:\t  99 kB\n";
        assert_eq!(high_water(status), Some(123));
        assert_eq!(high_water("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_uses_something() {
        assert!(resident(std::process::id()) > 0);
        assert!(most_resident(std::process::id()) > 0);
        assert!(descriptors(std::process::id()) >= 3);
    }
}
