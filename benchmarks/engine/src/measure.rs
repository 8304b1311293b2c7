//! What one row cost: wall and CPU time of the whole process, bytes that reached the block layer, latencies.

use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

pub struct Row {
    pub name: String,
    pub operations: u64,
    wall: f64,
    cpu: f64,
    written: u64,
    latencies: Histogram<u64>,
}

/// Latencies in ns, two digits, up to a minute.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 2).expect("bounds")
}

pub fn record(latencies: &mut Histogram<u64>, took: Duration) {
    latencies.saturating_record(took.as_nanos() as u64);
}

/// Runs `body`, which does `operations` and records a latency for each call.
pub fn row(name: &str, operations: u64, body: impl FnOnce(&mut Histogram<u64>)) -> Row {
    let mut latencies = histogram();
    let (written, cpu, wall) = (written_bytes(), cpu_seconds(), Instant::now());
    body(&mut latencies);
    Row {
        name: name.to_owned(),
        operations,
        wall: wall.elapsed().as_secs_f64(),
        cpu: cpu_seconds() - cpu,
        written: written_bytes() - written,
        latencies,
    }
}

impl Row {
    pub fn json(&self, space_bytes: u64) -> Value {
        let us = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        json!({
            "row": self.name,
            "per_second": self.operations as f64 / self.wall,
            "cpu_us": self.cpu * 1e6 / self.operations as f64,
            "written_mb": self.written as f64 / 1e6,
            "space_mb": space_bytes as f64 / 1e6,
            "p50_us": us(0.5), "p99_us": us(0.99), "p999_us": us(0.999),
        })
    }
}

/// User and system time of this process, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux's /proc");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("ticks");
    (ticks(12) + ticks(13)) / 100.0
}

fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// Bytes allocated by the files below `path`.
pub fn space(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(path) else {
        return 0;
    };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => space(&entry.path()),
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
