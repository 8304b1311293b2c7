//! The commands on one server: load from outside, and the echo.

use std::time::{Duration, Instant};

use crate::keys::Keys;
use crate::load::{OnBusy, Pace, Running, Stream, fill};
use crate::record::Tally;
use crate::target::{Failure, Wire};
use crate::work::Work;
use crate::{echo, usage};

#[derive(Clone, Debug, clap::Args)]
pub struct Load {
    /// host:port; a router's for a cluster of several shards.
    #[arg(long)]
    address: String,
    #[arg(long, value_enum, default_value = "unary")]
    wire: Wire,
    /// get, put, batch-get:N, batch-put:N, scan:N; several with commas run at once.
    #[arg(long, value_delimiter = ',', default_value = "get")]
    work: Vec<Work>,
    /// Operations per second by a fixed schedule, of each kind of work; without it, closed. Latencies count from when
    /// an operation was due.
    #[arg(long, value_delimiter = ',')]
    rate: Vec<f64>,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Not counted, before the rest.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Seconds between lines about what was done since the last one.
    #[arg(long)]
    report_every: Option<f64>,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Operations at a time; with --rate the bound, beyond which they wait here.
    #[arg(long, default_value_t = 128)]
    in_flight: usize,
    #[arg(long, value_enum, default_value = "ignore")]
    on_busy: OnBusy,
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Write every key once before.
    #[arg(long)]
    fill: bool,
    /// Processes whose CPU time is told beside.
    #[arg(long, value_delimiter = ',')]
    pids: Vec<u32>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn load(options: &Load) -> Result<(), String> {
    let told = |failure: Failure| failure.name;
    let keys = Keys::new(options.keys, options.value_bytes);
    if options.fill {
        fill(options.wire, &options.address, &keys).map_err(told)?;
    }
    let mut running = Vec::new();
    for (index, work) in options.work.iter().enumerate() {
        let rate = options.rate.get(index).or(options.rate.last());
        let stream = Stream {
            wire: options.wire,
            address: options.address.clone(),
            work: *work,
            keys: keys.clone(),
            pace: rate.map_or(Pace::Closed, |rate| Pace::Open { per_second: *rate }),
            threads: options.threads.max(1),
            connections: options.connections,
            in_flight: options.in_flight,
            on_busy: options.on_busy,
            expected: None,
            seed: options.seed,
        };
        running.push((*work, Running::start(&stream).map_err(told)?));
    }
    std::thread::sleep(Duration::from_secs_f64(options.warm_up));
    for (_, stream) in &running {
        stream.take();
    }
    let mut totals = vec![Tally::default(); running.len()];
    let (cpu, own, started) = (usage::cpu(&options.pids), usage::own_cpu(), Instant::now());
    let end = started + Duration::from_secs_f64(options.seconds);
    let every = Duration::from_secs_f64(options.report_every.unwrap_or(options.seconds).max(0.1));
    while Instant::now() < end {
        let since = Instant::now();
        std::thread::sleep(every.min(end.saturating_duration_since(since)));
        for ((work, stream), total) in running.iter().zip(&mut totals) {
            let tally = stream.take();
            if options.report_every.is_some() {
                let at = started.elapsed().as_secs_f64();
                println!(
                    "{at:7.1} s {work}: {}",
                    tally.line(since.elapsed().as_secs_f64())
                );
            }
            total.add(&tally);
        }
    }
    let (cpu, own) = (
        usage::cpu(&options.pids).saturating_sub(cpu),
        usage::own_cpu().saturating_sub(own),
    );
    let seconds = started.elapsed().as_secs_f64();
    for ((work, stream), total) in running.into_iter().zip(&totals) {
        stream.stop().map_err(told)?;
        println!("total {work}: {}", total.line(seconds));
    }
    let keys: u64 = totals.iter().map(|total| total.keys).sum();
    let per_key = |cpu: Duration| cpu.as_secs_f64() * 1e6 / keys.max(1) as f64;
    println!(
        "CPU-us per key: servers {:.2}, this client {:.2}; seed {}",
        per_key(cpu),
        per_key(own),
        options.seed
    );
    Ok(())
}

#[derive(Clone, Debug, clap::Args)]
pub struct Echo {
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
}

pub fn echo(options: &Echo) -> Result<(), String> {
    let keys = Keys::new(u64::MAX, options.value_bytes);
    echo::run(&options.listen, options.threads, keys).map_err(|error| error.to_string())
}
