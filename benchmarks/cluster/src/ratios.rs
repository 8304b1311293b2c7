//! `make bench-cluster`: all servers at once as real processes, each case in turn, the turns repeated in rounds.

use std::path::PathBuf;
use std::time::Duration;

use aidb_client::pb::ServedBy;

use crate::cases::{Case, Server, Servers, cases};
use crate::cluster::{Cluster, Place, Shape};
use crate::keys::Keys;
use crate::load::{Spans, fill, read_through};
use crate::measure::measure;
use crate::others;
use crate::page;
use crate::place::PlaceOptions;
use crate::probe::Probe;
use crate::process::Program;
use crate::record::Tally;
use crate::results::Results;
use crate::sdk;
use crate::target::{Failure, Wire};

#[derive(Clone, Debug, clap::Args)]
pub struct Ratios {
    #[command(flatten)]
    place: PlaceOptions,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that count, of each case in each round.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    /// Only the cases whose name has one of these parts, and those they are compared with.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Keep the tables between the markers of this page.
    #[arg(long)]
    page: Option<PathBuf>,
}

/// A replica's cache that holds all keys, and one that holds hardly any.
const AMPLE: u64 = 256 << 20;
const TINY: u64 = 64 << 10;
const ETCD_KEYS: u64 = 10_000;
const WARM_UP: Duration = Duration::from_millis(400);

pub fn run(options: &Ratios) -> Result<(), String> {
    let (place, _dir) = options.place.make()?;
    let keys = Keys::new(options.keys, options.value_bytes);
    let etcd_keys = Keys::new(ETCD_KEYS.min(options.keys), options.value_bytes);
    let standing = Standing::start(&place, options.value_bytes)?;
    eprintln!("all servers stand; writing {} keys to each", keys.count());
    standing.fill(&keys, &etcd_keys)?;
    let all = cases(&standing.servers(), &keys, &etcd_keys);
    let chosen = chosen(&all, &options.only);
    let spans = Spans {
        warm_up: WARM_UP,
        counted: Duration::from_secs_f64(options.seconds),
    };
    let mut results = Results::default();
    let probe = Probe::start(&place.dir);
    for round in 0..options.rounds {
        for case in &chosen {
            let measured = measure(&case.stream, spans, &case.pids)?;
            eprintln!(
                "round {}/{}: {}: {:.2} server CPU-us per key",
                round + 1,
                options.rounds,
                case.name,
                measured.server_us()
            );
            results.add(&case.name, measured);
        }
    }
    let disk = probe.finish()?;
    let mut text = told(options, &chosen, &results, &disk);
    if options.only.is_empty() {
        text += &standing.sdk(&place, options, &keys)?;
    }
    print!("{text}");
    match &options.page {
        Some(page) => page::keep(page, "bench-cluster", &text),
        None => Ok(()),
    }
}

fn chosen(all: &[Case], only: &[String]) -> Vec<Case> {
    let named = |case: &Case| only.is_empty() || only.iter().any(|part| case.name.contains(part));
    let wanted: Vec<&Case> = all.iter().filter(|case| named(case)).collect();
    let needed = |case: &Case| {
        named(case)
            || wanted
                .iter()
                .any(|other| other.against.as_deref() == Some(&case.name))
    };
    all.iter().filter(|case| needed(case)).cloned().collect()
}

fn told(options: &Ratios, cases: &[Case], results: &Results, disk: &Tally) -> String {
    let mut text = format!(
        "{} rounds of {} s for each case; {} keys of 16 B, values of {} B; one serving thread in each server.\n\n{}\n",
        options.rounds,
        options.seconds,
        options.keys,
        options.value_bytes,
        results.table(cases)
    );
    text += &format!(
        "fdatasync of 4 KiB on this disk meanwhile: p50 {:.1} ms, p99 {:.1} ms.\n\n",
        disk.quantile(0.5) / 1000.0,
        disk.quantile(0.99) / 1000.0
    );
    text += "| cores of servers for | unary | batches | pipeline |\n|---|---|---|---|\n";
    let cores = |rate: f64, case: &str| match results.server_us(case) {
        us if us.is_nan() => "-".to_owned(),
        us => format!("{:.2}", rate * us / 1e6),
    };
    let mut row = |what: &str, rate: f64, by: [&str; 3]| {
        let by = by.map(|case| cores(rate, case)).join(" | ");
        text += &format!("| {what} | {by} |\n");
    };
    row(
        "50 000 writes/s (sync `interval`)",
        5e4,
        [
            "interval put",
            "interval batch-put:100",
            "interval put (pipeline)",
        ],
    );
    row(
        "50 000 writes/s (sync `group`)",
        5e4,
        ["group put", "group batch-put:100", ""],
    );
    row(
        "500 000 replica hits/s",
        5e5,
        ["hit get", "hit batch-get:64", "hit get (pipeline)"],
    );
    row(
        "30 000 forwarded reads/s (replica and primary)",
        3e4,
        ["forward get", "", ""],
    );
    text
}

/// Everything that is compared, at work.
struct Standing {
    echo: Program,
    redis: Option<Program>,
    etcd: Option<Program>,
    interval: Cluster,
    group: Cluster,
    cached: Cluster,
    forward: Cluster,
}

impl Standing {
    fn start(place: &Place, value_bytes: usize) -> Result<Self, String> {
        let primary = Shape::primary;
        let with = |replicas: Vec<u64>, router| Shape {
            replicas,
            router,
            ..primary("interval")
        };
        let optional = |started: Result<Program, String>| {
            started.map_err(|why| eprintln!("left out: {why}")).ok()
        };
        Ok(Self {
            echo: others::echo(1, value_bytes, &place.dir)?,
            redis: optional(others::redis(&place.dir)),
            etcd: optional(others::etcd(&place.dir)),
            interval: Cluster::start("interval", &primary("interval"), place)?,
            group: Cluster::start("group", &primary("group"), place)?,
            cached: Cluster::start("cached", &with(vec![AMPLE], true), place)?,
            forward: Cluster::start("forward", &with(vec![TINY], false), place)?,
        })
    }

    fn servers(&self) -> Servers {
        let alone = |name, program: &Program| Server {
            name,
            address: program.address.clone(),
            pids: vec![program.pid()],
            reader: None,
        };
        let (cached, forward) = (&self.cached, &self.forward);
        let router = cached.router.as_ref().expect("it was asked for");
        Servers {
            echo: alone("echo", &self.echo),
            interval: alone("interval", &self.interval.primary),
            group: alone("group", &self.group.primary),
            hit: Server {
                reader: Some(ServedBy::Cache),
                ..alone("hit", &cached.replicas[0])
            },
            forward: Server {
                pids: vec![forward.replicas[0].pid(), forward.primary.pid()],
                reader: Some(ServedBy::Forward),
                ..alone("forward", &forward.replicas[0])
            },
            router: Server {
                pids: vec![router.pid(), cached.replicas[0].pid(), cached.primary.pid()],
                ..alone("router", router)
            },
            redis: self.redis.as_ref().map(|redis| alone("redis", redis)),
            etcd: self.etcd.as_ref().map(|etcd| alone("etcd", etcd)),
        }
    }

    /// Server CPU time includes what the script's start and first calls cost.
    fn sdk(&self, place: &Place, options: &Ratios, keys: &Keys) -> Result<String, String> {
        let cluster = &self.interval;
        let mut table = String::from(
            "\n| Python SDK, one thread | server CPU-µs per key | client CPU-µs | keys/s | p50 µs | p99 µs |\n\
             |---|---|---|---|---|---|\n",
        );
        for work in sdk::WORKS {
            let coordinator = &cluster.coordinator.address;
            let pids = [cluster.primary.pid()];
            table += &sdk::row(
                &place.python,
                coordinator,
                work,
                options.seconds,
                keys,
                &pids,
            )?;
        }
        Ok(table)
    }

    fn fill(&self, keys: &Keys, etcd_keys: &Keys) -> Result<(), String> {
        let told = |failure: Failure| failure.name;
        for cluster in [&self.interval, &self.group, &self.cached, &self.forward] {
            fill(Wire::Unary, &cluster.primary.address, keys).map_err(told)?;
        }
        if let Some(redis) = &self.redis {
            fill(Wire::Redis, &redis.address, keys).map_err(told)?;
        }
        if let Some(etcd) = &self.etcd {
            fill(Wire::Etcd, &etcd.address, etcd_keys).map_err(told)?;
        }
        read_through(Wire::Unary, &self.cached.replicas[0].address, keys).map_err(told)
    }
}
