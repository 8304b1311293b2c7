//! From the runs of all engines to a table: each row's ratio is the median over the rounds of (ours / theirs).

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

const BEGIN: &str = "<!-- bench-engine: begin -->";
const END: &str = "<!-- bench-engine: end -->";

/// `of[(value bytes, row)][engine][round]`
#[derive(Default)]
pub struct Results {
    rows: Vec<(u64, String)>,
    of: BTreeMap<(u64, String), BTreeMap<String, Vec<Value>>>,
}

impl Results {
    pub fn add(&mut self, value_bytes: u64, engine: &str, row: Value) {
        let name = row["row"].as_str().unwrap_or_default().to_owned();
        let at = (value_bytes, name);
        if !self.rows.contains(&at) {
            self.rows.push(at.clone());
        }
        let engines = self.of.entry(at).or_default();
        engines.entry(engine.to_owned()).or_default().push(row);
    }

    fn median(&self, at: &(u64, String), engine: &str, field: &str) -> f64 {
        let runs = self.of[at]
            .get(engine)
            .map(Vec::as_slice)
            .unwrap_or_default();
        median(runs.iter().filter_map(|run| run[field].as_f64()).collect())
    }

    /// Throughput, ours over theirs, in pairs of one round.
    fn ratio(&self, at: &(u64, String), other: &str) -> f64 {
        let of = &self.of[at];
        let (Some(ours), Some(theirs)) = (of.get("aidb"), of.get(other)) else {
            return f64::NAN;
        };
        let rate = |run: &Value| run["per_second"].as_f64().unwrap_or(f64::NAN);
        median(
            ours.iter()
                .zip(theirs)
                .map(|(a, b)| rate(a) / rate(b))
                .collect(),
        )
    }

    pub fn table(&self) -> String {
        let mut table = String::from(
            "| values | row | aidb /s | x RocksDB | x fjall | CPU-us aidb, RocksDB, fjall | p50/p99/p99.9 us aidb | RocksDB | MB written aidb, RocksDB, fjall | MB on disk |\n|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for at in &self.rows {
            let of = |field: &str| {
                let each = ["aidb", "rocksdb", "fjall"]
                    .map(|engine| short(self.median(at, engine, field)));
                each.join(", ")
            };
            let latency = |engine: &str| {
                let each = ["p50_us", "p99_us", "p999_us"]
                    .map(|field| short(self.median(at, engine, field)));
                each.join("/")
            };
            table += &format!(
                "| {} B | {} | {:.0} | {} | {} | {} | {} | {} | {} | {} |\n",
                at.0,
                at.1,
                self.median(at, "aidb", "per_second"),
                short(self.ratio(at, "rocksdb")),
                short(self.ratio(at, "fjall")),
                of("cpu_us"),
                latency("aidb"),
                latency("rocksdb"),
                of("written_mb"),
                of("space_mb"),
            );
        }
        table
    }

    /// The rows below 0.8 times RocksDB and the median row.
    pub fn verdict(&self) -> String {
        let ratios: Vec<f64> = self
            .rows
            .iter()
            .map(|at| self.ratio(at, "rocksdb"))
            .collect();
        let below: Vec<String> = self
            .rows
            .iter()
            .zip(&ratios)
            .filter(|(_, ratio)| **ratio < 0.8)
            .map(|((bytes, row), ratio)| format!("{row} ({bytes} B) {ratio:.2}"))
            .collect();
        let below = if below.is_empty() {
            "none".to_owned()
        } else {
            below.join(", ")
        };
        format!(
            "Rows below 0.8 times RocksDB: {below}. Median row: {:.2}.",
            median(ratios)
        )
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|value| !value.is_nan());
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

fn short(value: f64) -> String {
    if value.is_nan() {
        // An engine that did not run.
        "-".to_owned()
    } else if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Puts `text` between the page's markers.
pub fn keep(page: &Path, text: &str) {
    let old = std::fs::read_to_string(page).expect("the page");
    let (before, rest) = old.split_once(BEGIN).expect("the first marker");
    let (_, after) = rest.split_once(END).expect("the second marker");
    std::fs::write(page, format!("{before}{BEGIN}\n{text}{END}{after}")).expect("write the page");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ratios_are_medians_of_pairs() {
        let mut results = Results::default();
        for (ours, theirs) in [(10.0, 20.0), (30.0, 10.0), (8.0, 10.0)] {
            for (engine, rate) in [("aidb", ours), ("rocksdb", theirs)] {
                results.add(100, engine, json!({"row": "get", "per_second": rate}));
            }
        }
        assert_eq!(results.ratio(&(100, "get".into()), "rocksdb"), 0.8);
        assert!(
            results
                .verdict()
                .starts_with("Rows below 0.8 times RocksDB: none. Median row: 0.80")
        );
    }
}
