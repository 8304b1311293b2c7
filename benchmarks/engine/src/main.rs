//! `make bench-engine`: this engine, RocksDB and fjall through the same workloads, alternating, each run in a process and a
//! directory of its own.
//!
//! bench-engine [--rounds 3] [--scale 1.0] [--values 100,1000] [--only ROW,ROW] [--engines aidb,rocksdb,fjall] [--dir DIR]
//! [--page FILE]

mod engines;
mod keys;
mod measure;
mod report;
mod workloads;
mod ycsb;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// At scale 1: entries with values of 100 bytes; of larger ones as many as have twice the bytes.
const KEYS: f64 = 300_000.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    assert!(
        arguments.len() % 2 == 0,
        "options come with a value: {arguments:?}"
    );
    let options: HashMap<String, String> = arguments
        .chunks(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect();
    let option =
        |name: &str, default: &str| options.get(name).cloned().unwrap_or(default.to_owned());
    let list = |name: &str, default: &str| -> Vec<String> {
        let given = option(name, default);
        let parts = given.split(',').filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    };
    let only = list("--only", "");
    let engines = list("--engines", &engines::NAMES.join(","));
    let scale: f64 = option("--scale", "1").parse().expect("--scale");
    let values: Vec<u64> = option("--values", "100,1000")
        .split(',')
        .map(|bytes| bytes.parse().expect("--values"))
        .collect();
    let dir = options
        .get("--dir")
        .map_or_else(std::env::temp_dir, PathBuf::from);
    if let Some(engine) = options.get("--child") {
        return child(engine, &dir, scale, values[0], &only);
    }
    let rounds: u64 = option("--rounds", "3").parse().expect("--rounds");
    let mut results = report::Results::default();
    for value_bytes in values {
        for round in 0..rounds {
            for engine in &engines {
                eprintln!(
                    "{engine}, values of {value_bytes} B, round {} of {rounds}",
                    round + 1
                );
                for row in spawn(engine, &dir, scale, value_bytes, &only.join(",")) {
                    results.add(value_bytes, engine, row);
                }
            }
        }
    }
    let text = format!("{}\n{}\n", results.table(), results.verdict());
    print!("{text}");
    if let Some(page) = options.get("--page") {
        report::keep(Path::new(page), &text);
    }
}

fn spawn(engine: &str, dir: &Path, scale: f64, value_bytes: u64, only: &str) -> Vec<Value> {
    let dir = dir.join(format!("bench-engine-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the directory");
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--child",
            engine,
            "--scale",
            &scale.to_string(),
            "--only",
            only,
        ])
        .args(["--values", &value_bytes.to_string(), "--dir"])
        .arg(&dir)
        .stderr(std::process::Stdio::inherit())
        .output()
        .expect("a child");
    std::fs::remove_dir_all(&dir).expect("remove the directory");
    assert!(
        output.status.success(),
        "the run of {engine} failed: {}",
        output.status
    );
    let lines = String::from_utf8(output.stdout).expect("text");
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect()
}

fn child(engine: &str, dir: &Path, scale: f64, value_bytes: u64, only: &[String]) {
    let size = if value_bytes > 100 {
        200.0 / value_bytes as f64
    } else {
        1.0
    };
    workloads::Run {
        engine,
        dir,
        keys: (KEYS * scale * size) as u64 / 1000 * 1000,
        value_bytes: value_bytes as usize,
        only,
        emit: &|row, space| println!("{}", row.json(space)),
    }
    .all();
}
