//! A neighbour that keeps the disk busy: it writes large pieces and syncs each, round and round in a few files.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Command;

use crate::process::Program;

const FILES: usize = 4;
const PIECE: usize = 8 << 20;

#[derive(Clone, Debug, clap::Args)]
pub struct Hog {
    #[arg(long)]
    dir: PathBuf,
    /// Of each of the four files.
    #[arg(long, default_value_t = 64 << 20)]
    file_bytes: u64,
}

/// Until the process is ended; the files stay as large as they are told to be.
pub fn run(options: &Hog) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", options.dir.display());
    let piece = vec![0x5a; PIECE];
    println!("{}", serde_json::json!({"ready": true, "address": "none"}));
    for turn in 0.. {
        let path = options.dir.join(format!("hog-{}", turn % FILES));
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        for _ in 0..(options.file_bytes / PIECE as u64).max(1) {
            file.write_all(&piece).map_err(failed)?;
            file.sync_all().map_err(failed)?;
        }
    }
    Ok(())
}

/// As a process of its own.
pub fn start(dir: &std::path::Path) -> Result<Program, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(this);
    command.arg("hog").arg("--dir").arg(dir);
    Program::announced("hog", command, dir)
}
