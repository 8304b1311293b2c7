//! What the disk itself takes for an fdatasync of a small append, beside a run that depends on it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::record::Tally;

/// Between two probes: so rare that it does not load the disk.
const EVERY: Duration = Duration::from_millis(50);

pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<Tally>>,
}

impl Probe {
    /// Appends 4 KiB and syncs it, again and again, in a file below `dir`.
    pub fn start(dir: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let path = dir.join("probe");
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
                let mut tally = Tally::default();
                while !stop.load(Ordering::Relaxed) {
                    file.write_all(&[7; 4096])?;
                    let started = Instant::now();
                    file.sync_data()?;
                    tally
                        .latencies
                        .saturating_record(started.elapsed().as_nanos() as u64);
                    tally.operations += 1;
                    std::thread::sleep(EVERY);
                }
                std::fs::remove_file(&path)?;
                Ok(tally)
            }
        });
        Self { stop, thread }
    }

    pub fn finish(self) -> Result<Tally, String> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(tally) => tally.map_err(|error| format!("the probe of the disk: {error}")),
            Err(_) => Err("the probe of the disk panicked".into()),
        }
    }
}
