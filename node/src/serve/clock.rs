//! The clocks of a node.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds of a clock that never goes back and runs on while the machine sleeps: what leases are measured by.
/// CLOCK_MONOTONIC was rejected: on Linux it stands still during suspend, so a woken primary would trust a lease that
/// is long over.
pub fn boottime_ns() -> u64 {
    #[cfg(target_os = "linux")]
    let id = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let id = rustix::time::ClockId::Monotonic;
    nanoseconds(id)
}

/// For durations. Nanoseconds of a clock that never goes back.
pub fn precise_ns() -> u64 {
    nanoseconds(rustix::time::ClockId::Monotonic)
}

/// The same, as of the last tick: 1 to 10 ms behind, at a quarter of the cost.
pub fn coarse_ns() -> u64 {
    #[cfg(target_os = "linux")]
    let id = rustix::time::ClockId::MonotonicCoarse;
    #[cfg(not(target_os = "linux"))]
    let id = rustix::time::ClockId::Monotonic;
    nanoseconds(id)
}

fn nanoseconds(id: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(id);
    (time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64
}

/// Milliseconds since 1970 by the machine's clock: deadlines, expiry and clock comparison.
pub fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
