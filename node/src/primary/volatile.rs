//! A disk whose power can fail: what was not synced is in this process's memory only, so that SIGKILL takes it. For
//! evidence runs with real processes; not in a normal build.
//!
//! Writes and lengths wait for the sync of their file, names (creations, renames, removals, links) for the sync of their
//! directory, where they become real one by one in order, as a journal has them. Some writes get to the disk early, in
//! whole or in part, as a kernel may write pages back whenever it likes.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aidb_lsm::io::{Io, IoFile, OpenMode, RealIo};

/// Where the number of unsynced bytes and of unsynced names is kept for those who kill: two u64, little endian.
const AT_RISK: &str = "at-risk";

#[derive(Clone)]
pub struct VolatileDisk(Arc<Disk>);

struct Disk {
    /// On the store's file system: files that have no name yet, and `AT_RISK`.
    hidden: PathBuf,
    /// Of a hundred writes, how many get to the disk early.
    early_percent: u32,
    /// How long a sync takes.
    sync_time: Duration,
    risk: Mutex<Risk>,
    names: Mutex<Names>,
}

struct Risk {
    file: File,
    bytes: u64,
    names: u64,
}

#[derive(Default)]
struct Names {
    /// Of the names changed since their directory was synced: where their file is on the disk, `None` = removed.
    changed: HashMap<PathBuf, Option<PathBuf>>,
    /// The same changes by directory, in order.
    waiting: HashMap<PathBuf, Vec<Change>>,
    /// By device and inode: all who open a file see the same unsynced bytes.
    files: HashMap<(u64, u64), Arc<VolatileFile>>,
    next_hidden: u64,
}

enum Change {
    /// The file lies under the second path until then.
    Set(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

struct VolatileFile {
    disk: Arc<Disk>,
    real: File,
    unsynced: Mutex<Vec<Write>>,
}

enum Write {
    /// Offset, bytes, and how many of them a failure would take.
    Bytes(u64, Vec<u8>, u64),
    Length(u64),
}

impl VolatileDisk {
    #[cfg(feature = "faults")]
    /// As `AIDB_VOLATILE_DISK=<directory>,<percent of writes that get through early>,<ms of a sync>` says, if it does.
    pub fn from_env() -> io::Result<Option<Self>> {
        let Ok(said) = std::env::var("AIDB_VOLATILE_DISK") else {
            return Ok(None);
        };
        let fields: Vec<&str> = said.split(',').collect();
        let &[hidden, early, sync] = fields.as_slice() else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let number = |text: &str| text.parse().map_err(|_| ErrorKind::InvalidInput);
        let sync_time = Duration::from_millis(u64::from(number(sync)?));
        Self::new(Path::new(hidden), number(early)?, sync_time).map(Some)
    }

    pub fn new(hidden: &Path, early_percent: u32, sync_time: Duration) -> io::Result<Self> {
        fs::create_dir_all(hidden)?;
        for left in fs::read_dir(hidden)? {
            fs::remove_file(left?.path())?;
        }
        let risk = Risk {
            file: File::create(hidden.join(AT_RISK))?,
            bytes: 0,
            names: 0,
        };
        risk.tell()?;
        Ok(Self(Arc::new(Disk {
            hidden: hidden.to_path_buf(),
            early_percent,
            sync_time,
            risk: Mutex::new(risk),
            names: Mutex::default(),
        })))
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        lock(&self.0.names)
    }

    /// The file on the disk, seen by all who open it.
    fn file(&self, names: &mut Names, at: &Path, new: bool) -> io::Result<Arc<VolatileFile>> {
        let real = File::options()
            .read(true)
            .write(true)
            .create_new(new)
            .open(at)?;
        let found = real.metadata()?;
        names
            .files
            .retain(|_, file| Arc::strong_count(file) > 1 || !lock(&file.unsynced).is_empty());
        let made = || {
            Arc::new(VolatileFile {
                disk: Arc::clone(&self.0),
                real,
                unsynced: Mutex::default(),
            })
        };
        let file = names.files.entry((found.dev(), found.ino()));
        Ok(Arc::clone(file.or_insert_with(made)))
    }

    fn change(&self, names: &mut Names, change: Change) -> io::Result<()> {
        match &change {
            Change::Set(name, at) => {
                names.changed.insert(name.clone(), Some(at.clone()));
            }
            Change::Rename(from, to) => {
                let at = names.at(from)?;
                names.changed.insert(to.clone(), Some(at));
                names.changed.insert(from.clone(), None);
            }
            Change::Remove(name) => {
                names.changed.insert(name.clone(), None);
            }
        }
        let dir = directory(change.name());
        names.waiting.entry(dir).or_default().push(change);
        lock(&self.0.risk).names += 1;
        lock(&self.0.risk).tell()
    }
}

impl Risk {
    fn tell(&self) -> io::Result<()> {
        let [bytes, names] = [self.bytes.to_le_bytes(), self.names.to_le_bytes()];
        self.file.write_all_at(&[bytes, names].concat(), 0)
    }
}

impl Names {
    /// Where the file of this name is on the disk.
    fn at(&self, name: &Path) -> io::Result<PathBuf> {
        match self.changed.get(name) {
            Some(Some(at)) => Ok(at.clone()),
            Some(None) => Err(ErrorKind::NotFound.into()),
            None if name.exists() => Ok(name.to_path_buf()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn hide(&mut self, disk: &Disk) -> PathBuf {
        self.next_hidden += 1;
        disk.hidden.join(self.next_hidden.to_string())
    }
}

impl Change {
    fn name(&self) -> &Path {
        match self {
            Change::Set(name, _) | Change::Remove(name) | Change::Rename(_, name) => name,
        }
    }

    fn carry_out(&self) -> io::Result<()> {
        match self {
            Change::Set(name, at) => fs::rename(at, name),
            Change::Rename(from, to) => fs::rename(from, to),
            Change::Remove(name) => match fs::remove_file(name) {
                // Removed by somebody who does not come through here: a snapshot's scratch.
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                done => done,
            },
        }
    }
}

impl Io for VolatileDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn IoFile>> {
        let mut names = self.names();
        let found = names.at(path);
        let file = match found {
            Ok(at) => {
                let file = self.file(&mut names, &at, false)?;
                if mode == OpenMode::Create {
                    file.truncate(0)?;
                }
                file
            }
            Err(_) if mode == OpenMode::Create => {
                let at = names.hide(&self.0);
                let file = self.file(&mut names, &at, true)?;
                self.change(&mut names, Change::Set(path.to_path_buf(), at))?;
                file
            }
            Err(error) => return Err(error),
        };
        Ok(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if directory(from) != directory(to) {
            return Err(ErrorKind::CrossesDevices.into());
        }
        self.change(&mut self.names(), Change::Rename(from.into(), to.into()))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.names();
        if names.at(to).is_ok() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let at = names.hide(&self.0);
        fs::hard_link(names.at(from)?, &at)?;
        self.change(&mut names, Change::Set(to.into(), at))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut names = self.names();
        names.at(path)?;
        self.change(&mut names, Change::Remove(path.into()))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.names();
        let mut found: HashSet<String> = RealIo.list(dir)?.into_iter().collect();
        for (name, at) in &names.changed {
            let (Some(parent), Some(last)) = (name.parent(), name.file_name()) else {
                continue;
            };
            if parent == dir {
                let last = last.to_string_lossy().into_owned();
                match at {
                    Some(_) => found.insert(last),
                    None => found.remove(&last),
                };
            }
        }
        Ok(found.into_iter().collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealIo.create_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        std::thread::sleep(self.0.sync_time);
        let mut names = self.names();
        let waiting = names.waiting.remove(dir).unwrap_or_default();
        for change in &waiting {
            change.carry_out()?;
        }
        names.changed.retain(|name, _| name.parent() != Some(dir));
        let mut risk = lock(&self.0.risk);
        risk.names -= waiting.len() as u64;
        risk.tell()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        RealIo.lock(path)
    }
}

impl VolatileFile {
    fn push(&self, unsynced: &mut Vec<Write>, write: Write) -> io::Result<()> {
        let mut risk = lock(&self.disk.risk);
        risk.bytes += write.at_risk();
        unsynced.push(write);
        risk.tell()
    }
}

impl Write {
    const fn at_risk(&self) -> u64 {
        match self {
            Write::Bytes(_, _, at_risk) => *at_risk,
            Write::Length(_) => 0,
        }
    }

    const fn length_after(&self, length: u64) -> u64 {
        match self {
            Write::Length(length) => *length,
            Write::Bytes(offset, data, _) => {
                let end = *offset + data.len() as u64;
                if end > length { end } else { length }
            }
        }
    }

    /// What a reader of the bytes from `offset` on finds after it.
    fn show(&self, offset: u64, window: &mut [u8]) {
        let until = |at: u64| at.saturating_sub(offset).min(window.len() as u64) as usize;
        match self {
            Write::Length(length) => {
                let from = until(*length);
                window[from..].fill(0);
            }
            Write::Bytes(at, data, _) => {
                let (from, to) = (until(*at), until(*at + data.len() as u64));
                if from < to {
                    let skipped = (offset + from as u64 - at) as usize;
                    window[from..to].copy_from_slice(&data[skipped..skipped + to - from]);
                }
            }
        }
    }
}

impl IoFile for VolatileFile {
    fn len(&self) -> io::Result<u64> {
        let unsynced = lock(&self.unsynced);
        let length = self.real.metadata()?.len();
        Ok(unsynced
            .iter()
            .fold(length, |length, write| write.length_after(length)))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let unsynced = lock(&self.unsynced);
        let mut length = self.real.metadata()?.len();
        let mut done = 0;
        while done < buffer.len() {
            match self
                .real
                .read_at(&mut buffer[done..], offset + done as u64)?
            {
                0 => break,
                count => done += count,
            }
        }
        buffer[done..].fill(0);
        for write in unsynced.iter() {
            write.show(offset, buffer);
            length = write.length_after(length);
        }
        Ok(length.saturating_sub(offset).min(buffer.len() as u64) as usize)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut unsynced = lock(&self.unsynced);
        let mut early = 0;
        if fastrand::u32(..100) < self.disk.early_percent {
            early = data.len();
            if fastrand::bool() {
                early = fastrand::usize(..=early);
            }
            self.real.write_all_at(&data[..early], offset)?;
        }
        let at_risk = (data.len() - early) as u64;
        self.push(&mut unsynced, Write::Bytes(offset, data.to_vec(), at_risk))
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        match self.len()? {
            now if now < length => self.truncate(length),
            _ => Ok(()),
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.push(&mut lock(&self.unsynced), Write::Length(length))
    }

    /// Covers what was written before; what is written meanwhile waits for the next one.
    fn sync(&self) -> io::Result<()> {
        let covered = lock(&self.unsynced).len();
        std::thread::sleep(self.disk.sync_time);
        let mut unsynced = lock(&self.unsynced);
        // Another sync may have been faster.
        let covered = covered.min(unsynced.len());
        let mut synced = 0;
        for write in unsynced.drain(..covered) {
            synced += write.at_risk();
            match write {
                Write::Length(length) => self.real.set_len(length)?,
                Write::Bytes(offset, data, _) => self.real.write_all_at(&data, offset)?,
            }
        }
        let mut risk = lock(&self.disk.risk);
        risk.bytes -= synced;
        risk.tell()
    }
}

#[cfg(feature = "faults")]
pub fn unusable(error: io::Error) -> aidb_lsm::Error {
    aidb_lsm::Error::Invalid(format!("AIDB_VOLATILE_DISK: {error}"))
}

fn directory(name: &Path) -> PathBuf {
    name.parent().unwrap_or(name).to_path_buf()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_risk(hidden: &Path) -> (u64, u64) {
        let told = fs::read(hidden.join(AT_RISK)).unwrap();
        let number = |at: usize| u64::from_le_bytes(told[at..at + 8].try_into().unwrap());
        (number(0), number(8))
    }

    fn text(file: &dyn IoFile) -> String {
        let mut buffer = [b'#'; 16];
        let count = file.read_at(0, &mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[test]
    fn only_what_was_synced_is_on_the_disk() {
        let root = tempfile::tempdir().unwrap();
        let (hidden, dir) = (root.path().join("hidden"), root.path().join("store"));
        fs::create_dir(&dir).unwrap();
        let disk = VolatileDisk::new(&hidden, 0, Duration::ZERO).unwrap();
        let (name, other) = (dir.join("a"), dir.join("b"));
        let file = disk.open(&name, OpenMode::Create).unwrap();
        file.write_at(0, b"0123456789").unwrap();
        file.sync().unwrap();
        assert_eq!(RealIo.list(&dir).unwrap(), Vec::<String>::new());
        assert_eq!(disk.list(&dir).unwrap(), ["a"]);
        disk.sync_dir(&dir).unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"0123456789");
        assert_eq!(at_risk(&hidden), (0, 0));

        file.write_at(3, b"xyz").unwrap();
        file.truncate(5).unwrap();
        file.write_at(7, b"!").unwrap();
        let again = disk.open(&name, OpenMode::Read).unwrap();
        assert_eq!(text(again.as_ref()), "012xy\0\0!");
        assert_eq!(again.len().unwrap(), 8);
        disk.rename(&name, &other).unwrap();
        disk.link(&other, &name).unwrap();
        disk.remove(&other).unwrap();
        assert_eq!(at_risk(&hidden), (4, 3));
        assert_eq!(fs::read(&name).unwrap(), b"0123456789");
        assert!(disk.open(&other, OpenMode::Read).is_err());

        again.sync().unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"012xy\0\0!");
        disk.sync_dir(&dir).unwrap();
        assert_eq!(RealIo.list(&dir).unwrap(), ["a"]);
        assert_eq!(fs::read(&name).unwrap(), b"012xy\0\0!");
        assert_eq!(at_risk(&hidden), (0, 0));
    }

    #[test]
    fn a_store_lives_on_it_and_loses_what_was_not_synced() {
        use aidb_lsm::{Batch, Condition, Op, OpKind, Options, RequestId, Store, SyncMode};
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("store");
        let open = |io: Arc<dyn Io>| {
            let options = Options {
                sync: SyncMode::None,
                memtable_bytes: 1 << 16,
                io,
                ..Options::default()
            };
            Store::open(&path, options).unwrap()
        };
        let put = |store: &Store, key: &str, sync| {
            let op = Op {
                key: key.into(),
                kind: OpKind::Put {
                    value: vec![7; 1000].into(),
                    expires_at_ms: 0,
                },
                condition: Condition::None,
                request: RequestId::default(),
                first_sent_ms: 0,
                deadline_ms: 0,
                tag: 0,
            };
            let batch = Batch {
                ops: vec![op],
                atomic: false,
                sync,
            };
            store.write(batch).unwrap().lsn
        };
        let disk = VolatileDisk::new(&root.path().join("hidden"), 30, Duration::ZERO).unwrap();
        let store = open(Arc::new(disk));
        for number in 0..500 {
            put(&store, &format!("{number:04}"), None);
        }
        let kept = put(&store, "kept", Some(SyncMode::Group));
        put(&store, "lost", None);
        // As a power failure leaves it: nobody closes it. Its lock goes with the process, here with a copy.
        let left = root.path().join("left");
        copy(&path, &left);
        let store = Store::open(&left, Options::default()).unwrap();
        assert!(store.visible_lsn() >= kept);
        assert!(store.get(b"0000").unwrap().entry.is_some());
        assert!(store.get(b"kept").unwrap().entry.is_some());
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
}
