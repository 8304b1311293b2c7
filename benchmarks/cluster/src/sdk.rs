//! The Python SDK beside: one thread of it, in a process of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::keys::Keys;
use crate::usage;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sdk.py");

pub const WORKS: [&str; 4] = ["get", "put", "get_many", "put_many"];

/// One row: what a call takes, and costs client and servers. Nothing is started before and nothing is left after it.
pub fn row(
    python: &Path,
    coordinator: &str,
    work: &str,
    seconds: f64,
    keys: &Keys,
    pids: &[u32],
) -> Result<String, String> {
    let before = usage::cpu(pids);
    let output = Command::new(python)
        .args(["-P", SCRIPT, "--address", coordinator, "--work", work])
        .args([
            "--seconds",
            &seconds.to_string(),
            "--keys",
            &keys.count().to_string(),
        ])
        .args(["--value-bytes", &keys.value().len().to_string()])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{}: {error}", python.display()))?;
    let servers = usage::cpu(pids).saturating_sub(before);
    let said: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("the SDK's {work} gave no figures: {error}"))?;
    let of = |name: &str| said[name].as_f64().unwrap_or(f64::NAN);
    Ok(format!(
        "| {work} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} |\n",
        servers.as_secs_f64() * 1e6 / of("keys"),
        of("cpu_us_per_key"),
        of("keys") / of("seconds"),
        of("p50_us"),
        of("p99_us"),
    ))
}
