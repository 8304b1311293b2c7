//! One measurement: streams run, and CPU time is read at the beginning and the end of what counts.

use std::time::{Duration, Instant};

use crate::load::{Running, Spans, Stream};
use crate::record::Tally;
use crate::usage;

#[derive(Clone, Debug)]
pub struct Measured {
    pub tally: Tally,
    pub seconds: f64,
    /// Of the servers that were watched.
    pub server_cpu: Duration,
    /// Of this process.
    pub client_cpu: Duration,
}

impl Measured {
    /// Server CPU of one key, in µs.
    pub fn server_us(&self) -> f64 {
        self.per_key(self.server_cpu)
    }

    pub fn client_us(&self) -> f64 {
        self.per_key(self.client_cpu)
    }

    fn per_key(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.tally.keys as f64
    }
}

/// Of the operations; more make the figure worthless. A cache may now and then answer otherwise than expected.
const MOST_FAILURES: f64 = 0.02;

/// Runs one stream alone, whatever becomes of its operations.
pub fn observe(stream: &Stream, spans: Spans, pids: &[u32]) -> Result<Measured, String> {
    let running = Running::start(stream).map_err(|failure| failure.name)?;
    std::thread::sleep(spans.warm_up);
    running.take();
    let (cpu, own, started) = (usage::cpu(pids), usage::own_cpu(), Instant::now());
    std::thread::sleep(spans.counted);
    let tally = running.take();
    let measured = Measured {
        seconds: started.elapsed().as_secs_f64(),
        server_cpu: usage::cpu(pids).saturating_sub(cpu),
        client_cpu: usage::own_cpu().saturating_sub(own),
        tally,
    };
    running.stop().map_err(|failure| failure.name)?;
    Ok(measured)
}

/// Runs one stream alone. An error when operations fail: what a broken server costs is no figure.
pub fn measure(stream: &Stream, spans: Spans, pids: &[u32]) -> Result<Measured, String> {
    let measured = observe(stream, spans, pids)?;
    let bearable = measured.tally.operations as f64 * MOST_FAILURES;
    if measured.tally.operations == 0 || measured.tally.failed() as f64 > bearable {
        return Err(format!(
            "{} {} to {}: {} operations, failures {:?}",
            stream.work,
            format!("{:?}", stream.wire).to_lowercase(),
            stream.address,
            measured.tally.operations,
            measured.tally.failures,
        ));
    }
    Ok(measured)
}
