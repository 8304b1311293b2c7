//! `make bench-overload`: three times as much as the server can, by a schedule that does not care. What counts is how much
//! of the peak is still answered well, what memory does, and whether refusals are said. Servers and generator have cores of
//! their own, for the peak as for the flood: else the flood takes from the server what it is said to have lost.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Shape};
use crate::cores;
use crate::keys::Keys;
use crate::load::{OnBusy, Pace, Running, Spans, Stream, fill};
use crate::measure::measure;
use crate::page;
use crate::place::PlaceOptions;
use crate::target::{Failure, Wire};
use crate::usage;
use crate::work::Work;

#[derive(Clone, Debug, clap::Args)]
pub struct Overload {
    #[command(flatten)]
    place: PlaceOptions,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    #[arg(long, default_value_t = 3.0)]
    times: f64,
    #[arg(long, default_value = "put")]
    work: Work,
    #[arg(long, value_enum, default_value = "pipeline")]
    wire: Wire,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// More than a server lets in (8192).
    #[arg(long, default_value_t = 32_768)]
    in_flight: usize,
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    #[arg(long)]
    page: Option<PathBuf>,
}

const LEAST_GOODPUT: f64 = 0.8;
const WARM_UP: Duration = Duration::from_secs(2);

pub fn run(options: &Overload) -> Result<(), String> {
    let told = |failure: Failure| failure.name;
    let (place, _dir) = options.place.make()?;
    let halves = cores::halves();
    if let Some((servers, _)) = &halves {
        cores::keep_to(servers)?;
    }
    let cluster = Cluster::start("overload", &Shape::primary("interval"), &place)?;
    if let Some((_, generator)) = &halves {
        cores::keep_to(generator)?;
    }
    let (address, pid) = (&cluster.primary.address, cluster.primary.pid());
    let keys = Keys::new(options.keys, options.value_bytes);
    fill(Wire::Unary, address, &keys).map_err(told)?;
    let closed = Stream::closed(options.wire, address, options.work, &keys);
    let spans = Spans {
        warm_up: WARM_UP,
        counted: Duration::from_secs_f64(options.seconds),
    };
    let resident = || usage::resident(pid) >> 20;
    let mut peak = 0.0_f64;
    for in_flight in [64, 256, 1024] {
        let stream = Stream {
            in_flight,
            connections: 8,
            ..closed.clone()
        };
        let measured = measure(&stream, spans, &[pid])?;
        let rate = measured.tally.operations as f64 / measured.seconds;
        println!(
            "closed, {in_flight} in flight: {rate:.0} op/s, {} MB resident",
            resident()
        );
        peak = peak.max(rate);
    }
    let mut rows = String::new();
    for on_busy in [OnBusy::Ignore, OnBusy::Obey] {
        let stream = Stream {
            pace: Pace::Open {
                per_second: options.times * peak,
            },
            connections: options.connections,
            in_flight: options.in_flight,
            on_busy,
            ..closed.clone()
        };
        rows += &flood(&stream, spans, peak, &resident)?;
    }
    let apart = match halves {
        Some(_) => "server and generator on cores of their own",
        None => "server and generator on one core",
    };
    let text = format!(
        "{} by {:?}; {apart}; peak {peak:.0} op/s; offered {} times as much for {} s.\n\n\
         | busy errors | answered well | of the peak | target | | p50/p99 s | resident MB, most | failures |\n\
         |---|---|---|---|---|---|---|---|\n{rows}",
        options.work, options.wire, options.times, options.seconds
    );
    print!("{text}");
    match &options.page {
        Some(page) => page::keep(page, "bench-overload", &text),
        None => Ok(()),
    }
}

fn flood(
    stream: &Stream,
    spans: Spans,
    peak: f64,
    resident: &dyn Fn() -> u64,
) -> Result<String, String> {
    let told = |failure: Failure| failure.name;
    let running = Running::start(stream).map_err(told)?;
    std::thread::sleep(spans.warm_up);
    running.take();
    let started = Instant::now();
    let mut most = 0;
    while started.elapsed() < spans.counted {
        std::thread::sleep(Duration::from_millis(200));
        most = most.max(resident());
    }
    let (tally, seconds) = (running.take(), started.elapsed().as_secs_f64());
    running.stop().map_err(told)?;
    let goodput = tally.operations as f64 / seconds;
    let met = if goodput >= LEAST_GOODPUT * peak {
        "met"
    } else {
        "**missed**"
    };
    Ok(format!(
        "| {} | {goodput:.0} op/s | {:.2} | at least {LEAST_GOODPUT} | {met} | {:.2}/{:.2} | {most} | {:?} |\n",
        format!("{:?}", stream.on_busy).to_lowercase(),
        goodput / peak,
        tally.quantile(0.5) / 1e6,
        tally.quantile(0.99) / 1e6,
        tally.failures,
    ))
}
