//! Load on AiDb's servers, and what they cost beside a bare echo of the same messages, Redis and etcd.

mod cases;
mod cluster;
mod cores;
mod echo;
mod etcd;
mod hog;
mod keys;
mod latency;
mod load;
mod measure;
mod others;
mod overload;
mod pacer;
mod page;
mod place;
mod plain;
mod probe;
mod process;
mod ratios;
mod record;
mod redis;
mod results;
mod schedule;
mod sdk;
mod session;
mod share;
mod soak;
mod stats;
mod storage;
mod target;
mod usage;
mod work;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The servers' allocator: the echo has what they have.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load on one server, closed (so many at a time) or open (--rate).
    Load(plain::Load),
    /// The bare echo of Storage.
    Echo(plain::Echo),
    /// Starts every server and compares them: server CPU time of each operation, in alternating rounds.
    Ratios(ratios::Ratios),
    /// Latencies at half load beside the echo's, with compaction running.
    Latency(latency::Latency),
    /// Three times as much as the server can.
    Overload(overload::Overload),
    /// Memory and descriptors under a modest load for long.
    Soak(soak::Soak),
    /// Keeps a disk busy.
    Hog(hog::Hog),
}

fn main() -> ExitCode {
    let done = match Options::parse().command {
        Command::Load(load) => plain::load(&load),
        Command::Echo(echo) => plain::echo(&echo),
        Command::Ratios(ratios) => ratios::run(&ratios),
        Command::Latency(latency) => latency::run(&latency),
        Command::Overload(overload) => overload::run(&overload),
        Command::Soak(soak) => soak::run(&soak),
        Command::Hog(hog) => hog::run(&hog),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench-cluster: {why}");
            ExitCode::FAILURE
        }
    }
}
