use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::log::{self, LogSurvey};
use super::report::{LostTable, RepairReport};
use super::{Numbered, cache};
use crate::error::{Error, IoContext, Result};
use crate::ingest::stage::OPEN_LSN;
use crate::inspect::{SstReport, salvage};
use crate::io::Io;
use crate::log::recovery::read_file;
use crate::manifest::{self, Inventory, TableInfo};
use crate::shared::{LOG_DIR, TABLE_DIR};
use crate::store::Damage;
use crate::table::Table;
use crate::table::reader::{file_name, parse_name};

pub(super) struct Survey {
    pub path: PathBuf,
    pub manifest_exists: bool,
    /// Empty: `inventory` is what the manifest says. Else it is what was readable of it.
    pub manifest_damage: Vec<Damage>,
    pub inventory: Inventory,
    /// Numbers that a readable edit took away.
    pub removed: BTreeSet<u64>,
    /// Those that count, or may count.
    pub tables: Numbered<SurveyedTable>,
    pub log: LogSurvey,
}

pub(super) struct SurveyedTable {
    pub path: PathBuf,
    pub exists: bool,
    pub info: Option<(usize, TableInfo)>,
    pub read: SstReport,
    pub damage: Vec<Damage>,
}

impl SurveyedTable {
    pub(super) fn is_whole(&self) -> bool {
        self.damage.is_empty()
    }

    pub(super) fn last_lsn(&self) -> Option<u64> {
        let by_manifest = self.info.as_ref().map(|(_, info)| info.properties.last_lsn);
        let own = self.read.properties.as_ref().map(|known| known.last_lsn);
        by_manifest.or(own.filter(|lsn| *lsn != OPEN_LSN))
    }

    fn lost(&self) -> LostTable {
        let known = self
            .info
            .as_ref()
            .map(|(_, info)| (&info.properties).into());
        let known = known.or_else(|| self.read.properties.clone());
        let blocks = &self.read.blocks;
        let mut ranges: Vec<_> = blocks
            .iter()
            .filter(|block| block.damaged)
            .map(|block| (block.after.clone(), Some(block.through.clone())))
            .collect();
        let reached = blocks.last().map(|block| block.through.clone());
        let largest = known.as_ref().map(|known| known.largest.clone());
        if reached.is_none() || reached != largest {
            ranges.push((reached, largest));
        }
        LostTable {
            file: self.path.clone(),
            last_lsn: self.last_lsn(),
            entries: known.map(|known| known.entries),
            saved_entries: blocks.iter().map(|block| block.entries).sum(),
            ranges,
        }
    }
}

pub(super) fn survey(io: &Arc<dyn Io>, path: &Path) -> Result<Survey> {
    let mut tables = Numbered::new();
    let dir = path.join(TABLE_DIR);
    let mut present = BTreeSet::new();
    for name in list(&**io, &dir)? {
        present.extend(parse_name(&name));
    }
    let (manifest_exists, manifest_damage, inventory, removed) = read_manifest(io, path, &present)?;
    let whole = manifest_damage.is_empty();
    let counting: Vec<u64> = if whole {
        inventory.tables.keys().copied().collect()
    } else {
        let named = inventory.tables.keys().copied();
        let all: BTreeSet<u64> = present.iter().copied().chain(named).collect();
        all.difference(&removed).copied().collect()
    };
    for number in counting {
        let info = inventory.tables.get(&number).cloned();
        let exists = present.contains(&number);
        tables.insert(number, read_table(io, &dir, number, info, exists)?);
    }
    let last_lsns = tables.values().filter_map(SurveyedTable::last_lsn);
    let flushed_lsn = last_lsns.fold(inventory.flushed_lsn, u64::max);
    Ok(Survey {
        path: path.to_path_buf(),
        manifest_exists,
        manifest_damage,
        log: log::survey(&**io, &path.join(LOG_DIR), flushed_lsn)?,
        inventory,
        removed,
        tables,
    })
}

fn list(io: &dyn Io, dir: &Path) -> Result<Vec<String>> {
    match io.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        names => names.at(dir, "list"),
    }
}

type Read = (bool, Vec<Damage>, Inventory, BTreeSet<u64>);

/// Tables it names are gone while there are tables made later than it knows of: their inputs.
fn lost_its_end(inventory: &Inventory, present: &BTreeSet<u64>) -> bool {
    let gone = |number: &u64| !present.contains(number);
    let newest = present.last();
    inventory.tables.keys().any(gone) && newest.is_some_and(|last| *last >= inventory.next_number)
}

/// `present`: the tables that are there.
fn read_manifest(io: &Arc<dyn Io>, path: &Path, present: &BTreeSet<u64>) -> Result<Read> {
    let file = path.join(manifest::FILE_NAME);
    let missing = |what: &str| Damage {
        file: file.clone(),
        offset: 0,
        what: what.into(),
    };
    let data = match read_file(&**io, &file) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            let damage = vec![missing("missing")];
            return Ok((false, damage, Inventory::new(), BTreeSet::new()));
        }
        data => data?,
    };
    let mut why = "no whole record";
    match manifest::parse(&data, &file) {
        Ok((inventory, _)) if lost_its_end(&inventory, present) => {
            why =
                "its end is lost: it names tables that are gone, and not those that replaced them";
        }
        // A torn last record is none: every open cuts it off.
        Ok((inventory, _)) => return Ok((true, Vec::new(), inventory, BTreeSet::new())),
        Err(error @ Error::NewerFormat { .. }) => return Err(error),
        Err(_) => {}
    }
    let (edits, mut report) = salvage(&data, &file);
    if report.damage.is_empty() {
        report.damage.push(missing(why));
    }
    let mut inventory = Inventory::new();
    let mut removed = BTreeSet::new();
    for (_, edit) in edits {
        removed.extend(&edit.removed);
        for (_, table) in &edit.added {
            removed.remove(&table.number);
        }
        inventory.apply(&edit);
    }
    Ok((true, report.damage, inventory, removed))
}

fn read_table(
    io: &Arc<dyn Io>,
    dir: &Path,
    number: u64,
    info: Option<(usize, TableInfo)>,
    exists: bool,
) -> Result<SurveyedTable> {
    let path = dir.join(file_name(number));
    let damage = |what: &str| Damage {
        file: path.clone(),
        offset: 0,
        what: what.into(),
    };
    if !exists {
        return Ok(SurveyedTable {
            damage: vec![damage("the table is missing")],
            read: SstReport::default(),
            path,
            exists,
            info,
        });
    }
    let read = crate::inspect::walk(&**io, &path, &mut |_, _| Ok(()))?;
    let mut found = read.damage.clone();
    if found.is_empty() {
        match Table::open(io, dir, number, &cache()) {
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(error) => found.push(damage(&error.to_string())),
            Ok(table) => {
                let mut own = table.properties.clone();
                if let Some((_, info)) = &info {
                    if own.last_lsn == OPEN_LSN {
                        own.last_lsn = info.properties.last_lsn;
                    }
                    if info.bytes != table.bytes || info.properties != own {
                        found.push(damage("not the table the manifest names"));
                    }
                }
            }
        }
    }
    Ok(SurveyedTable {
        path,
        exists,
        info,
        read,
        damage: found,
    })
}

impl Survey {
    pub(super) fn manifest_is_whole(&self) -> bool {
        self.manifest_damage.is_empty()
    }

    /// Tables whose files are set aside: the damaged ones, and all of them when they are merged anew.
    pub(super) fn replaced_tables(&self) -> Vec<PathBuf> {
        let tables = self.tables.values();
        let replaced =
            tables.filter(|table| table.exists && !(self.manifest_is_whole() && table.is_whole()));
        replaced.map(|table| table.path.clone()).collect()
    }

    /// What the tables hold, as far as is known.
    pub(super) fn flushed_lsn(&self) -> u64 {
        let last_lsns = self.tables.values().filter_map(SurveyedTable::last_lsn);
        last_lsns.fold(self.inventory.flushed_lsn, u64::max)
    }

    pub(super) fn tables_were_lost(&self) -> bool {
        !self.manifest_is_whole() || self.tables.values().any(|table| !table.is_whole())
    }

    pub(super) fn report(&self) -> RepairReport {
        let mut damage = self.manifest_damage.clone();
        damage.extend(self.tables.values().flat_map(|table| table.damage.clone()));
        damage.extend(self.log.damage.clone());
        let lost = self.tables.values().filter(|table| !table.is_whole());
        let rebuilt = !self.manifest_is_whole();
        let mut notes = Vec::new();
        if rebuilt {
            notes.push(
                "without the manifest, deleted keys may be back: of tables that compaction had \
                 replaced but not yet removed, and of ranges deleted from tables not yet rewritten"
                    .to_owned(),
            );
        }
        if self.tables_were_lost() && self.log.ingests {
            notes
                .push("the log holds an ingest: only what is not in tables is replayed".to_owned());
        }
        let lsn = self.log.last_lsn.unwrap_or(0).max(self.flushed_lsn());
        if !self.log.damage.is_empty() && self.log.lost.is_none() {
            notes.push(format!(
                "the log is damaged before lsn {lsn}, which the tables hold: records after it are gone, if there were any"
            ));
        }
        RepairReport {
            damage,
            rebuilt,
            tables: self.tables.values().filter(|table| table.exists).count() as u64,
            records: self.log.records,
            lost_tables: lost.map(SurveyedTable::lost).collect(),
            lost_records: self.log.lost,
            lsn,
            epoch: self.log.epoch.max(self.inventory.epoch),
            clock_ms: self.log.clock_ms.max(self.inventory.clock_ms),
            notes,
            applied: false,
        }
    }
}
