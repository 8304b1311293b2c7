//! `make bench-latency`: an open loop at half of what the machine can, puts and replica hits at once, with the same load on
//! the echo in the same minutes. Memtables are small, so that flushes and compactions go on all the time.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aidb_client::pb::ServedBy;

use crate::cluster::{Cluster, Place, Shape};
use crate::hog;
use crate::keys::Keys;
use crate::load::{Pace, Running, Stream, fill, read_through};
use crate::others;
use crate::page;
use crate::place::PlaceOptions;
use crate::probe::Probe;
use crate::process::Program;
use crate::record::Tally;
use crate::stats;
use crate::target::{Failure, Wire};
use crate::work::Work;

#[derive(Clone, Debug, clap::Args)]
pub struct Latency {
    #[command(flatten)]
    place: PlaceOptions,
    /// Of each run: sync `interval`, sync `group`, and `interval` beside a process that keeps the disk busy.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// One of them: `interval`, `group` or `hog`.
    #[arg(long)]
    only: Option<String>,
    /// Puts and replica hits per second; without it, half of what the machine keeps up with, the echo at work beside them.
    #[arg(long, num_args = 2, value_names = ["PUTS", "HITS"])]
    rates: Option<Vec<f64>>,
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    #[arg(long, default_value_t = 60.0)]
    report_every: f64,
    #[arg(long)]
    page: Option<PathBuf>,
}

const CALIBRATION: Duration = Duration::from_secs(4);
const TRIALS: usize = 6;
/// A stream whose p99 is beyond this has fallen behind its schedule.
const LATE: Duration = Duration::from_millis(50);
const SETTLE: Duration = Duration::from_secs(2);
const AMPLE: u64 = 256 << 20;
/// Operations of one stream that may be under way before they wait in the generator.
const IN_FLIGHT: usize = 4096;
const NAMES: [&str; 4] = ["put", "hit", "echo put", "echo get"];

pub fn run(options: &Latency) -> Result<(), String> {
    let mut rows = String::new();
    for (name, sync, hogged) in [
        ("interval", "interval", false),
        ("group", "group", false),
        ("hog", "interval", true),
    ] {
        if options.only.as_deref().is_none_or(|only| only == name) {
            println!("{name}:");
            let row = one(options, name, sync, hogged)?;
            print!("{row}");
            rows += &row;
        }
    }
    let text = format!(
        "{} minutes each; {} B values; one serving thread in each server.\n\n\
         | run | puts/s | put p99 ms | echo put p99 ms | beyond the echo | hits/s | hit p99 ms | echo get p99 ms | beyond the echo | compacted MB | fdatasync p50/p99/max ms | failures |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n{rows}",
        options.minutes, options.value_bytes
    );
    print!("{text}");
    match &options.page {
        Some(page) => page::keep(page, "bench-latency", &text),
        None => Ok(()),
    }
}

fn one(options: &Latency, name: &str, sync: &'static str, hogged: bool) -> Result<String, String> {
    let (place, _dir) = options.place.make()?;
    let told = |failure: Failure| failure.name;
    let bench = Bench::start(options, sync, &place)?;
    let streams = bench.streams();
    let rates = match &options.rates {
        Some(rates) => [rates[0], rates[1], rates[0], rates[1]],
        None => capacity(&streams)?.map(|rate| rate / 2.0),
    };
    let _hog: Option<Program> = match hogged {
        true => Some(hog::start(&place.dir)?),
        false => None,
    };
    let probe = Probe::start(&place.dir);
    let before = compacted(&bench.cluster)?;
    let mut running = Vec::new();
    for stream in open(&streams, rates) {
        running.push(Running::start(&stream).map_err(told)?);
    }
    std::thread::sleep(SETTLE);
    running.iter().for_each(|stream| drop(stream.take()));
    let totals = watch(options, &running);
    for stream in running {
        stream.stop().map_err(told)?;
    }
    let compacted = compacted(&bench.cluster)?.saturating_sub(before);
    Ok(row(name, rates, &totals, compacted, &probe.finish()?))
}

fn watch(options: &Latency, running: &[Running]) -> [Tally; 4] {
    let mut totals: [Tally; 4] = Default::default();
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(options.minutes * 60.0);
    while Instant::now() < end {
        let since = Instant::now();
        let every = Duration::from_secs_f64(options.report_every.max(1.0));
        std::thread::sleep(every.min(end.saturating_duration_since(since)));
        for ((stream, total), name) in running.iter().zip(&mut totals).zip(NAMES) {
            let tally = stream.take();
            let at = started.elapsed().as_secs_f64();
            println!(
                "{at:7.1} s {name}: {}",
                tally.line(since.elapsed().as_secs_f64())
            );
            total.add(&tally);
        }
    }
    totals
}

/// The highest rates that all four streams keep up with at once by a schedule, the echo's like those of what it is
/// compared with. Found by halves between nothing and what they reach when each sends as fast as it can, which an open loop
/// does not: it has fewer operations to gather in one read or write.
fn capacity(streams: &[Stream; 4]) -> Result<[f64; 4], String> {
    let closed = measure(streams)?;
    let (puts, hits) = (
        rate(&closed[0]).min(rate(&closed[2])),
        rate(&closed[1]).min(rate(&closed[3])),
    );
    let rates = |part: f64| [puts * part, hits * part, puts * part, hits * part];
    let (mut kept, mut fell_behind) = (0.0, 1.0);
    for _ in 0..TRIALS {
        let part = (kept + fell_behind) / 2.0;
        let tallies = measure(&open(streams, rates(part)))?;
        let late = tallies.iter().map(|tally| tally.quantile(0.99));
        let keeps_up = late.fold(0.0, f64::max) < LATE.as_micros() as f64;
        match keeps_up {
            true => kept = part,
            false => fell_behind = part,
        }
    }
    match kept > 0.0 {
        true => Ok(rates(kept)),
        false => Err("no rate was kept up with: the machine has other work to do".into()),
    }
}

fn measure(streams: &[Stream]) -> Result<Vec<Tally>, String> {
    let told = |failure: Failure| failure.name;
    let mut running = Vec::new();
    for stream in streams {
        running.push(Running::start(stream).map_err(told)?);
    }
    std::thread::sleep(SETTLE);
    running.iter().for_each(|stream| drop(stream.take()));
    std::thread::sleep(CALIBRATION);
    let tallies = running.iter().map(Running::take).collect();
    for stream in running {
        stream.stop().map_err(told)?;
    }
    Ok(tallies)
}

fn rate(tally: &Tally) -> f64 {
    tally.operations as f64 / CALIBRATION.as_secs_f64()
}

fn open(streams: &[Stream; 4], rates: [f64; 4]) -> Vec<Stream> {
    let paced = streams.iter().zip(rates);
    let paced = paced.map(|(stream, per_second)| Stream {
        pace: Pace::Open { per_second },
        in_flight: IN_FLIGHT,
        ..stream.clone()
    });
    paced.collect()
}

fn compacted(cluster: &Cluster) -> Result<u64, String> {
    let stats = stats::of(&cluster.primary.address)?;
    Ok(stats.engine.map_or(0, |engine| engine.compacted_bytes))
}

struct Bench {
    cluster: Cluster,
    echo: Program,
    read: Keys,
    written: Keys,
}

impl Bench {
    fn start(options: &Latency, sync: &'static str, place: &Place) -> Result<Self, String> {
        let told = |failure: Failure| failure.name;
        let shape = Shape {
            replicas: vec![AMPLE],
            primary_options: vec!["--memtable-bytes".into(), "1m".into()],
            ..Shape::primary(sync)
        };
        let cluster = Cluster::start(sync, &shape, place)?;
        let read = Keys::new(options.keys, options.value_bytes);
        // Others than those that are read: a hit is to be a hit.
        let written = read.next();
        fill(Wire::Unary, &cluster.primary.address, &read).map_err(told)?;
        fill(Wire::Unary, &cluster.primary.address, &written).map_err(told)?;
        read_through(Wire::Unary, &cluster.replicas[0].address, &read).map_err(told)?;
        Ok(Self {
            cluster,
            echo: others::echo(1, options.value_bytes, &place.dir)?,
            read,
            written,
        })
    }

    fn streams(&self) -> [Stream; 4] {
        let closed = |address: &str, work, keys| Stream {
            in_flight: 32,
            ..Stream::closed(Wire::Unary, address, work, keys)
        };
        let hits = Stream {
            expected: Some(ServedBy::Cache),
            ..closed(&self.cluster.replicas[0].address, Work::Get, &self.read)
        };
        [
            closed(&self.cluster.primary.address, Work::Put, &self.written),
            hits,
            closed(&self.echo.address, Work::Put, &self.written),
            closed(&self.echo.address, Work::Get, &self.read),
        ]
    }
}

fn row(name: &str, rates: [f64; 4], totals: &[Tally; 4], compacted: u64, disk: &Tally) -> String {
    let ms = |tally: &Tally, quantile| tally.quantile(quantile) / 1000.0;
    let p99 = |index: usize| ms(&totals[index], 0.99);
    let failures: u64 = totals.iter().map(Tally::failed).sum();
    format!(
        "| {name} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0} | {:.2} | {:.2} | {:.2} | {} | {:.1}/{:.1}/{:.1} | {failures} |\n",
        rates[0],
        p99(0),
        p99(2),
        p99(0) - p99(2),
        rates[1],
        p99(1),
        p99(3),
        p99(1) - p99(3),
        compacted >> 20,
        ms(disk, 0.5),
        ms(disk, 0.99),
        ms(disk, 1.0),
    )
}
