//! `make soak`: a modest mixed load on a primary, a replica and a router with memory budgets, and what their memory and
//! descriptors do meanwhile.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Shape};
use crate::keys::Keys;
use crate::load::{OnBusy, Pace, Running, Stream, fill, read_through};
use crate::page;
use crate::place::PlaceOptions;
use crate::process::Program;
use crate::record::Tally;
use crate::results::verdict;
use crate::target::{Failure, Wire};
use crate::usage;
use crate::work::Work;

#[derive(Clone, Debug, clap::Args)]
pub struct Soak {
    #[command(flatten)]
    place: PlaceOptions,
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// The primary's budget and the replica's cache, in MiB.
    #[arg(long, default_value_t = 128)]
    budget_mb: u64,
    #[arg(long, default_value_t = 1000.0)]
    puts: f64,
    #[arg(long, default_value_t = 1000.0)]
    gets: f64,
    #[arg(long, default_value_t = 2_000_000)]
    keys: u64,
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    #[arg(long)]
    page: Option<PathBuf>,
}

/// Rows of the report: six, of ten minutes each when the run takes an hour.
const PERIODS: usize = 6;
const SAMPLE: Duration = Duration::from_secs(2);
/// Of the resident set beyond the budget; and from the second period to the last.
const MOST_BEYOND: f64 = 0.15;
const MOST_GROWTH: f64 = 0.05;
/// Of each kind of work. When the machine stands still for a while, so many come at once, and a router takes 20 to 30 KB
/// for each.
const IN_FLIGHT: usize = 256;
/// What a router holds without a cache.
const ROUTER_MB: u64 = 16;

/// Samples of one program: resident MB and descriptors, by period.
struct Watched<'a> {
    program: &'a Program,
    budget_mb: u64,
    periods: Vec<Vec<(u64, usize)>>,
}

pub fn run(options: &Soak) -> Result<(), String> {
    let told = |failure: Failure| failure.name;
    let (place, _dir) = options.place.make()?;
    let bytes = options.budget_mb << 20;
    let shape = Shape {
        replicas: vec![bytes],
        router: true,
        primary_options: vec!["--memory-bytes".into(), bytes.to_string()],
        ..Shape::primary("interval")
    };
    let cluster = Cluster::start("soak", &shape, &place)?;
    // What a program holds before it has any data: Python, the module, its threads.
    let budget = |program: &Program, own: u64| own + (usage::resident(program.pid()) >> 20);
    let router = cluster.router.as_ref().expect("it was asked for");
    let mut watched: Vec<Watched<'_>> = [
        (&cluster.primary, options.budget_mb),
        (&cluster.replicas[0], options.budget_mb),
        (router, ROUTER_MB),
    ]
    .map(|(program, own)| Watched {
        program,
        budget_mb: budget(program, own),
        periods: Vec::new(),
    })
    .into();
    let keys = Keys::new(options.keys, options.value_bytes);
    fill(Wire::Unary, &cluster.primary.address, &keys).map_err(told)?;
    // The cache is full before the first period: how long a modest load takes to fill it is another question.
    read_through(Wire::Unary, &cluster.replicas[0].address, &keys).map_err(told)?;
    let stream = |address: &str, work, per_second| Stream {
        pace: Pace::Open { per_second },
        in_flight: IN_FLIGHT,
        on_busy: OnBusy::Obey,
        ..Stream::closed(Wire::Unary, address, work, &keys)
    };
    let streams = [
        stream(&router.address, Work::Put, options.puts),
        stream(&router.address, Work::Get, options.gets),
        stream(
            &cluster.replicas[0].address,
            Work::BatchGet(64),
            options.gets / 64.0,
        ),
        stream(
            &cluster.primary.address,
            Work::BatchPut(100),
            options.puts / 100.0,
        ),
    ];
    let mut running = Vec::new();
    for stream in &streams {
        running.push(Running::start(stream).map_err(told)?);
    }
    let period = Duration::from_secs_f64(options.minutes * 60.0 / PERIODS as f64);
    let mut total = Tally::default();
    for number in 0..PERIODS {
        sample(&mut watched, period);
        for stream in &running {
            total.add(&stream.take());
        }
        eprintln!("period {} of {PERIODS} is over", number + 1);
    }
    for stream in running {
        stream.stop().map_err(told)?;
    }
    let rows: String = watched.iter().map(Watched::rows).collect();
    let text = format!(
        "{} minutes; {} operations, {} failures {:?}.\n\n\
         | program | budget MB | period | resident MB min/median/max | descriptors min/median/max |\n|---|---|---|---|---|\n{rows}\n",
        options.minutes,
        total.operations,
        total.failed(),
        total.failures,
    );
    print!("{text}");
    match &options.page {
        Some(page) => page::keep(page, "soak", &text),
        None => Ok(()),
    }
}

fn sample(watched: &mut [Watched<'_>], period: Duration) {
    watched
        .iter_mut()
        .for_each(|one| one.periods.push(Vec::new()));
    let end = Instant::now() + period;
    while Instant::now() < end {
        std::thread::sleep(SAMPLE.min(end.saturating_duration_since(Instant::now())));
        for one in watched.iter_mut() {
            let pid = one.program.pid();
            if let Some(samples) = one.periods.last_mut() {
                samples.push((usage::resident(pid) >> 20, usage::descriptors(pid)));
            }
        }
    }
}

impl Watched<'_> {
    fn rows(&self) -> String {
        let mut rows = String::new();
        for (number, samples) in self.periods.iter().enumerate() {
            let memory = spread(samples.iter().map(|sample| sample.0));
            let descriptors = spread(samples.iter().map(|sample| sample.1 as u64));
            rows += &format!(
                "| {} | {} | {} | {}/{}/{} | {}/{}/{} |\n",
                self.program.name,
                self.budget_mb,
                number + 1,
                memory[0],
                memory[1],
                memory[2],
                descriptors[0],
                descriptors[1],
                descriptors[2],
            );
        }
        rows + &format!(
            "| {} | | verdict | {} | |\n",
            self.program.name,
            self.verdict()
        )
    }

    fn verdict(&self) -> String {
        let of = |period: usize, what: fn(&(u64, usize)) -> u64| {
            spread(self.periods[period].iter().map(what))
        };
        let last = PERIODS - 1;
        let memory = |period| of(period, |sample| sample.0);
        let descriptors = |period| of(period, |sample| sample.1 as u64);
        let most = (0..PERIODS)
            .map(|period| memory(period)[2])
            .max()
            .unwrap_or(0);
        let beyond = most as f64 / self.budget_mb as f64 - 1.0;
        let growth = memory(last)[1] as f64 / memory(1)[1] as f64 - 1.0;
        let opened = descriptors(last)[1].saturating_sub(descriptors(1)[1]);
        let met = beyond <= MOST_BEYOND && growth <= MOST_GROWTH && opened == 0;
        format!(
            "{}: {:+.0} % of the budget at most, {:+.1} % from period 2 to {PERIODS}, {opened} descriptors more",
            verdict(met),
            beyond * 100.0,
            growth * 100.0,
        )
    }
}

/// Least, median and most.
fn spread(samples: impl Iterator<Item = u64>) -> [u64; 3] {
    let mut samples: Vec<u64> = samples.collect();
    samples.sort_unstable();
    match samples.len() {
        0 => [0; 3],
        count => [samples[0], samples[count / 2], samples[count - 1]],
    }
}
