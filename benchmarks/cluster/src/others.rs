//! The servers that ours are compared with.

use std::path::Path;
use std::process::Command;

use crate::process::{Program, free_port};

/// The bare echo: this program.
pub fn echo(threads: usize, value_bytes: usize, logs: &Path) -> Result<Program, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(this);
    command.args(["echo", "--threads", &threads.to_string()]);
    command.args(["--value-bytes", &value_bytes.to_string()]);
    Program::announced("echo", command, logs)
}

/// In memory only.
pub fn redis(logs: &Path) -> Result<Program, String> {
    let address = free_port().map_err(|error| error.to_string())?;
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
        .args([
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
            "--logfile",
            "redis.log",
        ])
        .current_dir(logs);
    Program::listening("redis", command, address, logs)
}

/// One member; it syncs its log before it answers a put.
pub fn etcd(logs: &Path) -> Result<Program, String> {
    let failed = |error: std::io::Error| error.to_string();
    let (client, peer) = (free_port().map_err(failed)?, free_port().map_err(failed)?);
    let (client_url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
    let mut command = Command::new("etcd");
    command
        .arg("--data-dir")
        .arg(logs.join("etcd"))
        .args([
            "--listen-client-urls",
            &client_url,
            "--advertise-client-urls",
            &client_url,
        ])
        .args([
            "--listen-peer-urls",
            &peer_url,
            "--initial-advertise-peer-urls",
            &peer_url,
        ])
        .args([
            "--initial-cluster",
            &format!("default={peer_url}"),
            "--logger",
            "zap",
        ])
        .args(["--log-level", "error"]);
    Program::listening("etcd", command, client, logs)
}
