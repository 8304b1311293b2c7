//! `make bench-overload`: three times as much as the server can, by a schedule that does not care. What counts is how much
//! of the peak is still answered well, what memory does, and whether refusals are said. Servers and generator have cores of
//! their own, for the peak as for the flood: else the flood takes from the server what it is said to have lost. Where
//! the generator's core cannot offer three times what the server's can do, the server gets a part of its core (`share`),
//! for the peak as well; how much of its own core the generator used is printed: with all of it, less was offered than is said.

use std::path::PathBuf;
use std::time::Duration;

use aidb_node::serve::stack::STREAMS_PER_CONNECTION;

use crate::cluster::{Cluster, Place, Shape};
use crate::cores;
use crate::keys::Keys;
use crate::load::{OnBusy, Pace, Spans, Stream, fill};
use crate::measure::{Measured, measure, observe};
use crate::page;
use crate::place::PlaceOptions;
use crate::results::verdict;
use crate::share::Share;
use crate::target::{Failure, Wire};
use crate::usage;
use crate::work::Work;

#[derive(Clone, Debug, clap::Args)]
pub struct Overload {
    #[command(flatten)]
    place: PlaceOptions,
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    #[arg(long, default_value_t = 3.0)]
    times: f64,
    /// One kind of work instead of all.
    #[arg(long, requires = "wire")]
    work: Option<Work>,
    #[arg(long, value_enum, requires = "work")]
    wire: Option<Wire>,
    /// Of its core that the server gets, 0.3 for instance: by a control group, which takes root.
    #[arg(long, requires = "work")]
    share: Option<f64>,
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

#[derive(Clone, Copy, Debug)]
struct Case {
    work: Work,
    wire: Wire,
    /// None: all of the server's core.
    share: Option<f64>,
}

/// A batch costs the server six times what it costs the generator, a put in a pipeline three times, a get as much.
const CASES: [Case; 3] = [
    Case {
        work: Work::BatchPut(100),
        wire: Wire::Unary,
        share: None,
    },
    Case {
        work: Work::Put,
        wire: Wire::Pipeline,
        share: Some(0.3),
    },
    Case {
        work: Work::Get,
        wire: Wire::Unary,
        share: Some(0.2),
    },
];

const LEAST_GOODPUT: f64 = 0.8;
const WARM_UP: Duration = Duration::from_secs(2);
/// The primary's own memory, and what it lets clients hold of its memory at a time (see `Limits::in_flight_bytes`).
const MEMORY_MB: u64 = 128;
const IN_FLIGHT_MB: u64 = 256;
/// What a stream takes as long as it is open, at most.
const STREAM_KB: u64 = 16;

pub fn run(options: &Overload) -> Result<(), String> {
    let (place, _dir) = options.place.make()?;
    let cases = match (options.work, options.wire) {
        (Some(work), Some(wire)) => vec![Case {
            work,
            wire,
            share: options.share,
        }],
        _ => CASES.to_vec(),
    };
    let (servers, generator) = cores::halves().ok_or(
        "there is but one core: a generator beside the server would take from it what it is said to have lost",
    )?;
    let mut rows = String::new();
    for case in &cases {
        cores::keep_to(&servers)?;
        let cluster = start(case, &place)?;
        cores::keep_to(&generator)?;
        rows += &overload(options, case, &cluster)?;
    }
    let text = format!(
        "{} times the peak of a closed loop offered for {} s, {} connections, at most {} operations under way.\n\n\
         | work | server's core | load | answered well, op/s | of the peak | target | server CPU-µs of each | server's core in use \
         | generator's | p50/p99 s | resident MB, most | bound | failures |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n{rows}",
        options.times, options.seconds, options.connections, options.in_flight
    );
    print!("{text}");
    match &options.page {
        Some(page) => page::keep(page, "bench-overload", &text),
        None => Ok(()),
    }
}

fn start(case: &Case, place: &Place) -> Result<Cluster, String> {
    let name = format!("overload-{}-{:?}", case.work, case.wire).replace(':', "-");
    let shape = Shape {
        primary_options: vec!["--memory-bytes".into(), (MEMORY_MB << 20).to_string()],
        ..Shape::primary("interval")
    };
    Cluster::start(&name, &shape, place)
}

/// The rows of one case.
fn overload(options: &Overload, case: &Case, cluster: &Cluster) -> Result<String, String> {
    let told = |failure: Failure| failure.name;
    let pid = cluster.primary.pid();
    let streams = options.connections as u64 * u64::from(STREAMS_PER_CONNECTION);
    let streams_mb = (streams * STREAM_KB) >> 10;
    let bound = (usage::resident(pid) >> 20) + MEMORY_MB + IN_FLIGHT_MB + streams_mb;
    let _share = case.share.map(|cores| Share::of(cores, pid)).transpose()?;
    let keys = Keys::new(options.keys, options.value_bytes);
    fill(Wire::Unary, &cluster.primary.address, &keys).map_err(told)?;
    let closed = Stream::closed(case.wire, &cluster.primary.address, case.work, &keys);
    let spans = Spans {
        warm_up: WARM_UP,
        counted: Duration::from_secs_f64(options.seconds),
    };
    let mut report = Report {
        case: *case,
        peak: 0.0,
        pid,
        bound,
        rows: String::new(),
    };
    let mut best = None;
    for in_flight in [64, 256, 1024] {
        let stream = Stream {
            in_flight,
            connections: 8,
            ..closed.clone()
        };
        usage::forget_most_resident(pid)?;
        let measured = measure(&stream, spans, &[pid])?;
        let rate = measured.tally.operations as f64 / measured.seconds;
        eprintln!(
            "{} closed, {in_flight} in flight: {rate:.0} op/s",
            case.work
        );
        if rate > report.peak {
            report.peak = rate;
            best = Some((in_flight, measured, report.resident()));
        }
    }
    if let Some((in_flight, measured, resident)) = best {
        let load = format!("closed, {in_flight} in flight");
        report.row(&load, &measured, resident, false);
    }
    for on_busy in [OnBusy::Ignore, OnBusy::Obey] {
        let stream = Stream {
            pace: Pace::Open {
                per_second: options.times * report.peak,
            },
            connections: options.connections,
            in_flight: options.in_flight,
            on_busy,
            ..closed.clone()
        };
        usage::forget_most_resident(pid)?;
        let measured = observe(&stream, spans, &[pid])?;
        let load = format!("flood, busy errors: {on_busy:?}").to_lowercase();
        report.row(&load, &measured, report.resident(), true);
    }
    Ok(report.rows)
}

struct Report {
    case: Case,
    /// Operations a second of the closed loop.
    peak: f64,
    pid: u32,
    bound: u64,
    rows: String,
}

impl Report {
    fn resident(&self) -> u64 {
        usage::most_resident(self.pid) >> 20
    }

    fn row(&mut self, load: &str, measured: &Measured, resident: u64, flood: bool) {
        let tally = &measured.tally;
        let goodput = tally.operations as f64 / measured.seconds;
        let share = self
            .case
            .share
            .map_or("all".into(), |cores| cores.to_string());
        let row = format!(
            "| {} ({:?}) | {share} | {load} | {goodput:.0} | {:.2} | {} | {:.1} | {:.2} | {:.1} | {:.2}/{:.2} | {resident} | {} {} | {:?} |\n",
            self.case.work,
            self.case.wire,
            goodput / self.peak,
            match flood {
                true => format!(
                    "at least {LEAST_GOODPUT}: {}",
                    verdict(goodput >= LEAST_GOODPUT * self.peak)
                ),
                false => String::new(),
            },
            measured.server_cpu.as_secs_f64() * 1e6 / tally.operations as f64,
            measured.server_cpu.as_secs_f64() / measured.seconds,
            measured.client_cpu.as_secs_f64() / measured.seconds,
            tally.quantile(0.5) / 1e6,
            tally.quantile(0.99) / 1e6,
            self.bound,
            verdict(resident <= self.bound),
            tally.failures,
        );
        eprint!("{row}");
        self.rows += &row;
    }
}
