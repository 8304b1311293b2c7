//! A cluster of one shard as real processes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Program;

/// How its programs are started.
#[derive(Clone, Debug)]
pub struct Shape {
    pub sync: &'static str,
    /// Serving threads of each program.
    pub threads: usize,
    /// The caches of its replicas, in bytes.
    pub replicas: Vec<u64>,
    pub router: bool,
    pub primary_options: Vec<String>,
}

impl Shape {
    pub fn primary(sync: &'static str) -> Self {
        Self {
            sync,
            threads: 1,
            replicas: Vec::new(),
            router: false,
            primary_options: Vec::new(),
        }
    }
}

/// Where the programs are: Python with the project, and a directory for data and logs.
#[derive(Clone, Debug)]
pub struct Place {
    pub python: PathBuf,
    pub dir: PathBuf,
}

pub struct Cluster {
    // In the order in which they are stopped.
    pub router: Option<Program>,
    pub replicas: Vec<Program>,
    pub primary: Program,
    pub coordinator: Program,
}

impl Cluster {
    pub fn start(name: &str, shape: &Shape, place: &Place) -> Result<Self, String> {
        let dir = place.dir.join(name);
        std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let coordinator = Program::announced("coordinator", coordinator(&dir, place), &dir)?;
        let node = |role: &str, name: &str| node(role, name, &coordinator.address, shape, place);
        let mut primary = node("primary", "shard-0-primary");
        primary
            .args(["--shard", "0", "--sync", shape.sync, "--data"])
            .arg(dir.join("shard-0"))
            .args(&shape.primary_options);
        let primary = Program::announced("shard-0-primary", primary, &dir)?;
        let mut replicas = Vec::new();
        for (number, cache_bytes) in shape.replicas.iter().enumerate() {
            let name = format!("shard-0-replica-{number}");
            let mut replica = node("replica", &name);
            replica.args(["--shard", "0", "--cache-bytes", &cache_bytes.to_string()]);
            replicas.push(Program::announced(&name, replica, &dir)?);
        }
        let router = match shape.router {
            true => Some(Program::announced(
                "router-0",
                node("router", "router-0"),
                &dir,
            )?),
            false => None,
        };
        Ok(Self {
            router,
            replicas,
            primary,
            coordinator,
        })
    }
}

fn python(module: &str, place: &Place) -> Command {
    let mut command = Command::new(&place.python);
    command.args(["-P", "-m", module]);
    command
}

fn coordinator(dir: &Path, place: &Place) -> Command {
    let mut command = python("aidb_coordinator", place);
    command
        .args(["--listen", "127.0.0.1:0", "--shards", "1", "--data"])
        .arg(dir.join("coordinator"));
    command
}

fn node(role: &str, name: &str, coordinator: &str, shape: &Shape, place: &Place) -> Command {
    let mut command = python("aidb_node", place);
    command.args([
        role,
        "--coordinator",
        coordinator,
        "--name",
        name,
        "--listen",
        "127.0.0.1:0",
    ]);
    command.args(["--threads", &shape.threads.to_string()]);
    command
}
