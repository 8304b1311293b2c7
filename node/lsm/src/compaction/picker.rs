//! Leveled compaction: which tables to merge next. Pure: the shape of the levels in, a task out.
//!
//! L0 counts by files (each costs a lookup), deeper levels by bytes against their target. The
//! neediest level goes first; from a deeper level the table with the least overlap below it goes,
//! which costs the fewest rewritten bytes. When no level is too large, tables that are wholly
//! expired or mostly tombstones move down until they vanish.

use std::sync::Arc;

use crate::manifest::TableInfo;
use crate::options::Config;
use crate::table::{Properties, Table};
use crate::version::{LEVELS, Version};

/// L0 newest first, deeper levels in key order.
pub(crate) type Shape = Vec<Vec<TableInfo>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    /// Runs to merge, newest first: the tables of one run do not overlap and are in key order.
    pub runs: Vec<Vec<u64>>,
    pub target: usize,
    /// The one table goes to the target as it is.
    pub moves: bool,
}

/// Where the outputs of a task will lie: between its inputs' smallest and largest keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hull {
    pub target: usize,
    pub smallest: Vec<u8>,
    pub largest: Vec<u8>,
}

pub(crate) fn hull(version: &Version, task: &Task) -> Option<Hull> {
    let inputs = || {
        let of_task = |table: &&Arc<Table>| {
            let mut runs = task.runs.iter();
            runs.any(|run| run.contains(&table.number))
        };
        version.tables().filter(of_task)
    };
    Some(Hull {
        target: task.target,
        smallest: inputs()
            .map(|table| &table.properties.smallest)
            .min()?
            .clone(),
        largest: inputs()
            .map(|table| &table.properties.largest)
            .max()?
            .clone(),
    })
}

pub(crate) fn shape(version: &Version) -> Shape {
    let levels = version.levels().iter();
    levels
        .map(|tables| tables.iter().map(|table| info(version, table)).collect())
        .collect()
}

/// Hidden entries count as tombstones: both are what a rewrite gets rid of.
fn info(version: &Version, table: &Table) -> TableInfo {
    let mut info = crate::flush::info(table);
    if let Some(hidden) = version.hidden(table.number) {
        let properties = &mut info.properties;
        let gone = match hidden.len() {
            ..MAX_SPANS => version.hidden_entries(table),
            _ => properties.entries,
        };
        properties.tombstones = (properties.tombstones + gone).min(properties.entries);
    }
    info
}

/// Spans hidden of one table from which it is worth a rewrite, however few keys they hide.
const MAX_SPANS: usize = 64;

pub(crate) fn pick(shape: &Shape, config: &Config, clock_ms: u64) -> Option<Task> {
    let scores = (0..LEVELS - 1).map(|level| (level, score(shape, config, level)));
    let neediest = scores.max_by(|a, b| a.1.total_cmp(&b.1))?;
    match neediest {
        (0, score) if score >= 1.0 => Some(from_l0(shape)),
        (level, score) if score >= 1.0 => from_level(shape, level),
        _ => garbage(shape, config, clock_ms),
    }
}

/// Everything into the deepest level in use.
pub(crate) fn everything(shape: &Shape) -> Option<Task> {
    let deepest = deepest(shape)?.max(1);
    let mut runs: Vec<Vec<u64>> = shape[0].iter().map(|table| vec![table.number]).collect();
    runs.extend(shape[1..].iter().map(|tables| numbers(tables.iter())));
    runs.retain(|run| !run.is_empty());
    Some(Task {
        runs,
        target: deepest,
        moves: false,
    })
}

/// Bytes that the levels hold beyond their targets.
pub(crate) fn debt(shape: &Shape, config: &Config) -> u64 {
    let levels = 1..LEVELS - 1;
    levels
        .map(|level| bytes(&shape[level]).saturating_sub(target_bytes(config, level)))
        .sum()
}

fn score(shape: &Shape, config: &Config, level: usize) -> f64 {
    if level == 0 {
        return shape[0].len() as f64 / config.l0_compact_at as f64;
    }
    // Equal to the target is full, not too full.
    let over = bytes(&shape[level]) as f64 / target_bytes(config, level) as f64;
    if over > 1.0 { over } else { over * 0.99 }
}

pub(crate) fn target_bytes(config: &Config, level: usize) -> u64 {
    let ratio = config.level_ratio.saturating_pow(level as u32 - 1);
    config.level_base_bytes.saturating_mul(ratio)
}

fn bytes(tables: &[TableInfo]) -> u64 {
    tables.iter().map(|table| table.bytes).sum()
}

fn deepest(shape: &Shape) -> Option<usize> {
    shape.iter().rposition(|tables| !tables.is_empty())
}

/// What lies in L1 between tables of L0 is merged, too: an output may reach from one to the next.
fn from_l0(shape: &Shape) -> Task {
    let mut runs: Vec<Vec<u64>> = shape[0].iter().map(|table| vec![table.number]).collect();
    let l0 = || shape[0].iter().map(|table| &table.properties);
    let hull = TableInfo {
        properties: Properties {
            smallest: l0().map(|p| &p.smallest).min().cloned().unwrap_or_default(),
            largest: l0().map(|p| &p.largest).max().cloned().unwrap_or_default(),
            ..Properties::default()
        },
        ..TableInfo::default()
    };
    let below = overlapping(&shape[1], &hull);
    let moves = runs.len() == 1 && below.is_empty();
    if !below.is_empty() {
        runs.push(below);
    }
    Task {
        runs,
        target: 1,
        moves,
    }
}

fn from_level(shape: &Shape, level: usize) -> Option<Task> {
    let cost = |table: &&TableInfo| {
        let below = shape[level + 1]
            .iter()
            .filter(|below| overlap(table, below));
        let rewritten: u64 = below.map(|below| below.bytes).sum();
        rewritten.saturating_mul(1024) / table.bytes.max(1)
    };
    let table = shape[level].iter().min_by_key(cost)?;
    Some(down(shape, level, table))
}

fn down(shape: &Shape, level: usize, table: &TableInfo) -> Task {
    let below = overlapping(&shape[level + 1], table);
    let moves = below.is_empty();
    let mut runs = vec![vec![table.number]];
    if !below.is_empty() {
        runs.push(below);
    }
    Task {
        runs,
        target: level + 1,
        moves,
    }
}

/// Each such task moves its garbage down or, in the deepest level, drops it: they come to an end.
fn garbage(shape: &Shape, config: &Config, clock_ms: u64) -> Option<Task> {
    let deepest = deepest(shape)?;
    let is_garbage = |table: &&TableInfo| {
        let properties = &table.properties;
        let expired_at = properties.all_expired_at_ms;
        expired_at.saturating_add(config.expiry_grace_ms) <= clock_ms
            || properties.tombstones * 2 > properties.entries
    };
    for level in 1..=deepest {
        let Some(table) = shape[level].iter().find(is_garbage) else {
            continue;
        };
        if level < deepest {
            return Some(down(shape, level, table));
        }
        return Some(Task {
            runs: vec![vec![table.number]],
            target: level,
            moves: false,
        });
    }
    None
}

fn overlapping(tables: &[TableInfo], with: &TableInfo) -> Vec<u64> {
    numbers(tables.iter().filter(|table| overlap(table, with)))
}

fn overlap(a: &TableInfo, b: &TableInfo) -> bool {
    a.properties.smallest <= b.properties.largest && b.properties.smallest <= a.properties.largest
}

fn numbers<'a>(tables: impl Iterator<Item = &'a TableInfo>) -> Vec<u64> {
    tables.map(|table| table.number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;

    fn config() -> Config {
        Options {
            level_base_bytes: 100,
            ..Options::default()
        }
        .config()
    }

    /// `number:smallest-largest` in each level; every table has 60 bytes.
    fn levels(text: &[&str]) -> Shape {
        let table = |text: &str| {
            let (number, range) = text.split_once(':').unwrap();
            let (smallest, largest) = range.split_once('-').unwrap();
            TableInfo {
                number: number.parse().unwrap(),
                bytes: 60,
                properties: Properties {
                    entries: 10,
                    smallest: smallest.into(),
                    largest: largest.into(),
                    all_expired_at_ms: u64::MAX,
                    ..Properties::default()
                },
            }
        };
        let mut shape: Shape = text
            .iter()
            .map(|level| level.split_whitespace().map(table).collect())
            .collect();
        shape.resize(LEVELS, Vec::new());
        shape
    }

    #[test]
    fn l0_goes_down_whole_with_what_it_overlaps() {
        let shape = levels(&["9:a-c 8:b-d 7:a-b 6:c-d", "1:a-b 2:d-f 3:g-h"]);
        let roomy = Config {
            level_base_bytes: 1000,
            ..config()
        };
        let task = pick(&shape, &roomy, 0).unwrap();
        assert_eq!(task.runs, [vec![9], vec![8], vec![7], vec![6], vec![1, 2]]);
        assert_eq!((task.target, task.moves), (1, false));
    }

    #[test]
    fn what_lies_between_tables_of_l0_goes_with_them() {
        let roomy = Config {
            level_base_bytes: 1000,
            ..config()
        };
        let shape = levels(&["9:a-b 8:x-z 7:a-b 6:a-b", "1:m-n"]);
        let task = pick(&shape, &roomy, 0).unwrap();
        assert_eq!(task.runs.last().unwrap(), &[1]);
    }

    #[test]
    fn a_full_level_gives_the_table_that_costs_least() {
        let shape = levels(&["", "1:a-m 2:n-p", "3:a-c 4:d-f 5:o-z"]);
        let task = pick(&shape, &config(), 0).unwrap();
        assert_eq!((task.runs, task.target), (vec![vec![2], vec![5]], 2));
    }

    #[test]
    fn what_overlaps_nothing_is_moved() {
        let task = pick(&levels(&["", "1:a-b 2:c-d", "3:c-d"]), &config(), 0).unwrap();
        assert_eq!(
            (task.runs, task.target, task.moves),
            (vec![vec![1]], 2, true)
        );
    }

    #[test]
    fn levels_in_shape_need_nothing() {
        assert_eq!(
            pick(&levels(&["3:a-b", "1:a-b"]), &config(), u64::MAX / 2),
            None
        );
    }

    #[test]
    fn expired_tables_go_an_hour_after_expiry() {
        let mut shape = levels(&["", "1:a-b"]);
        shape[1][0].properties.all_expired_at_ms = 1000;
        let hour = 3_600_000;
        assert_eq!(pick(&shape, &config(), 999 + hour), None);
        let task = pick(&shape, &config(), 1000 + hour).unwrap();
        assert_eq!(
            (task.runs, task.target, task.moves),
            (vec![vec![1]], 1, false)
        );
    }
}
