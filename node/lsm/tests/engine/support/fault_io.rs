//! A file system in memory that can crash: what was not synced is lost, in whole or in part and in
//! any order. It can also fail any call and run out of space.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use aidb_lsm::io::{Io, IoFile, OpenMode};
use rand::Rng;
use rand::rngs::StdRng;

type Inject = dyn FnMut(&'static str, &Path) -> Option<io::Error> + Send;
type Watch = dyn FnMut(&'static str, &Path, &Crash<'_>) + Send;
type Ignored = dyn Fn(&Path) -> bool + Send;

/// Makes what a power failure at this moment leaves.
pub type Crash<'a> = dyn Fn(Loss, &mut StdRng) -> (FaultIo, Lost) + 'a;

#[derive(Clone, Default)]
pub struct FaultIo(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: HashMap<u64, File>,
    next_file: u64,
    names: BTreeMap<PathBuf, u64>,
    /// What a crash leaves of `names` at least, and for each directory what was changed since, in
    /// order: a journalled file system keeps some of the first changes.
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: BTreeMap<PathBuf, Vec<NameChange>>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    space: Option<u64>,
    inject: Option<Box<Inject>>,
    watch: Option<Box<Watch>>,
    ignored: Option<Box<Ignored>>,
}

#[derive(Clone)]
enum NameChange {
    Set(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, u64),
}

/// What a crash destroyed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    pub bytes: u64,
    /// Creations, renames and removals of files undone.
    pub names: u64,
}

#[derive(Clone, Default)]
struct File {
    path: PathBuf,
    current: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

/// What is left of unsynced data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    All,
    /// Each change survives or not, or in part.
    Some,
}

impl FaultIo {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The file system after a power failure now, and what was lost.
    pub fn crash(&self, loss: Loss, random: &mut StdRng) -> (FaultIo, Lost) {
        self.state().crash(loss, random)
    }

    /// Called before each call, with the means to crash exactly there.
    pub fn watch(&self, watch: impl FnMut(&'static str, &Path, &Crash<'_>) + Send + 'static) {
        self.state().watch = Some(Box::new(watch));
    }

    /// A defect: syncs of these files and directories report success and do nothing.
    pub fn ignore_syncs(&self, ignored: impl Fn(&Path) -> bool + Send + 'static) {
        self.state().ignored = Some(Box::new(ignored));
    }

    /// A copy of the files as they are, synced or not.
    pub fn image(&self) -> FaultIo {
        let state = self.state();
        let files = state.files.iter().map(|(id, file)| {
            let mut file = file.clone();
            file.synced.clone_from(&file.current);
            file.unsynced.clear();
            (*id, file)
        });
        FaultIo(Arc::new(Mutex::new(State {
            files: files.collect(),
            next_file: state.next_file,
            names: state.names.clone(),
            durable_names: state.names.clone(),
            dirs: state.dirs.clone(),
            ..State::default()
        })))
    }

    /// Asked before each call; an error it returns is the call's.
    pub fn inject(
        &self,
        fault: impl FnMut(&'static str, &Path) -> Option<io::Error> + Send + 'static,
    ) {
        self.state().inject = Some(Box::new(fault));
    }

    pub fn heal(&self) {
        let mut state = self.state();
        (state.inject, state.watch, state.ignored) = (None, None, None);
    }

    /// Bytes that may be in use; `None` = without limit.
    pub fn limit_space(&self, bytes: Option<u64>) {
        self.state().space = bytes;
    }

    pub fn used(&self) -> u64 {
        self.state().used()
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    pub fn read(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.files[&state.names[path]].current.clone()
    }

    pub fn replace(&self, path: &Path, data: Vec<u8>) {
        let mut state = self.state();
        let id = state.names[path];
        let file = state.files.get_mut(&id).unwrap();
        file.synced.clone_from(&data);
        file.current = data;
        file.unsynced.clear();
    }
}

impl Change {
    fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Change::Write(offset, bytes) => {
                let end = *offset as usize + bytes.len();
                if data.len() < end {
                    data.resize(end, 0);
                }
                data[*offset as usize..end].copy_from_slice(bytes);
            }
            Change::Length(length) => data.resize(*length as usize, 0),
        }
    }

    /// Applies what survives of it; returns the bytes lost.
    fn survive(&self, data: &mut Vec<u8>, loss: Loss, random: &mut StdRng) -> u64 {
        let bytes = match self {
            Change::Write(_, bytes) => bytes.len(),
            Change::Length(_) => 0,
        };
        let part = match loss {
            Loss::All => 0,
            Loss::Some => random.random_range(0..3),
        };
        match (part, self) {
            (0, _) => bytes as u64,
            (1, Change::Write(offset, written)) => {
                let kept = random.random_range(0..=bytes);
                Change::Write(*offset, written[..kept].to_vec()).apply(data);
                (bytes - kept) as u64
            }
            _ => {
                self.apply(data);
                0
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            NameChange::Set(path, id) => {
                names.insert(path.clone(), *id);
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
            NameChange::Rename(from, to, id) => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
        }
    }
}

impl State {
    fn crash(&self, loss: Loss, random: &mut StdRng) -> (FaultIo, Lost) {
        let mut lost = Lost::default();
        let mut after = State {
            dirs: self.dirs.clone(),
            next_file: self.next_file,
            names: self.durable_names.clone(),
            ..State::default()
        };
        for changes in self.unsynced_names.values() {
            let kept = match loss {
                Loss::All => 0,
                Loss::Some => random.random_range(0..=changes.len()),
            };
            changes[..kept]
                .iter()
                .for_each(|change| change.apply(&mut after.names));
            lost.names += (changes.len() - kept) as u64;
        }
        for id in after.names.values() {
            let file = &self.files[id];
            let mut left = file.synced.clone();
            for change in &file.unsynced {
                lost.bytes += change.survive(&mut left, loss, random);
            }
            let file = File {
                path: file.path.clone(),
                current: left.clone(),
                synced: left,
                unsynced: Vec::new(),
            };
            after.files.insert(*id, file);
        }
        after.durable_names = after.names.clone();
        (FaultIo(Arc::new(Mutex::new(after))), lost)
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        let (NameChange::Set(path, _) | NameChange::Remove(path) | NameChange::Rename(_, path, _)) =
            &change;
        let dir = path.parent().unwrap_or(path).to_path_buf();
        self.unsynced_names.entry(dir).or_default().push(change);
    }

    fn ignores(&self, path: &Path) -> bool {
        self.ignored.as_ref().is_some_and(|ignored| ignored(path))
    }

    fn call(&mut self, op: &'static str, path: &Path) -> io::Result<()> {
        if let Some(mut watch) = self.watch.take() {
            watch(op, path, &|loss, random| self.crash(loss, random));
            self.watch = Some(watch);
        }
        let fault = self.inject.as_mut().and_then(|inject| inject(op, path));
        fault.map_or(Ok(()), Err)
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .map(|id| self.files[id].current.len() as u64)
            .sum()
    }

    fn room(&self) -> u64 {
        self.space
            .map_or(u64::MAX, |space| space.saturating_sub(self.used()))
    }

    fn id(&self, path: &Path) -> io::Result<u64> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Io for FaultIo {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn IoFile>> {
        let mut state = self.state();
        state.call("open", path)?;
        let id = match mode {
            OpenMode::Read | OpenMode::Write => state.id(path)?,
            OpenMode::Create => {
                let id = state.next_file;
                state.next_file += 1;
                let file = File {
                    path: path.to_path_buf(),
                    ..File::default()
                };
                state.files.insert(id, file);
                state.change_name(NameChange::Set(path.to_path_buf(), id));
                id
            }
        };
        Ok(Arc::new(Handle {
            io: self.clone(),
            id,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call("rename", from)?;
        let id = state.id(from)?;
        state.change_name(NameChange::Rename(from.into(), to.into(), id));
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call("link", from)?;
        let id = state.id(from)?;
        if state.names.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.change_name(NameChange::Set(to.into(), id));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call("remove", path)?;
        state.id(path)?;
        state.change_name(NameChange::Remove(path.into()));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.call("list", dir)?;
        if !state.dirs.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let entries = state.names.keys().chain(&state.dirs);
        let within = entries.filter(|path| path.parent() == Some(dir));
        Ok(within
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call("create_dir", dir)?;
        for ancestor in dir.ancestors() {
            state.dirs.insert(ancestor.to_path_buf());
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call("sync_dir", dir)?;
        if state.ignores(dir) {
            return Ok(());
        }
        let state = &mut *state;
        for change in state.unsynced_names.remove(dir).unwrap_or_default() {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut state = self.state();
        state.call("lock", path)?;
        if !state.locks.insert(path.to_path_buf()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Unlock {
            io: self.clone(),
            path: path.to_path_buf(),
        }))
    }
}

struct Unlock {
    io: FaultIo,
    path: PathBuf,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        self.io.state().locks.remove(&self.path);
    }
}

struct Handle {
    io: FaultIo,
    id: u64,
}

impl Handle {
    fn with<T>(
        &self,
        op: &'static str,
        action: impl FnOnce(&mut State, u64) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.io.state();
        let path = state.files[&self.id].path.clone();
        state.call(op, &path)?;
        action(&mut state, self.id)
    }

    fn change(state: &mut State, id: u64, change: Change) {
        let file = state.files.get_mut(&id).unwrap();
        change.apply(&mut file.current);
        file.unsynced.push(change);
    }
}

impl IoFile for Handle {
    fn len(&self) -> io::Result<u64> {
        self.with("len", |state, id| Ok(state.files[&id].current.len() as u64))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.with("read", |state, id| {
            let data = &state.files[&id].current;
            let rest = data.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        })
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with("write", |state, id| {
            let length = state.files[&id].current.len() as u64;
            let more = (offset + data.len() as u64).saturating_sub(length);
            if more > state.room() {
                // Half of it gets to the disk, as it may.
                let half = data[..data.len() / 2].to_vec();
                Handle::change(state, id, Change::Write(offset, half));
                return Err(ErrorKind::StorageFull.into());
            }
            Handle::change(state, id, Change::Write(offset, data.to_vec()));
            Ok(())
        })
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        self.with("preallocate", |state, id| {
            let now = state.files[&id].current.len() as u64;
            if length.saturating_sub(now) > state.room() {
                return Err(ErrorKind::StorageFull.into());
            }
            Handle::change(state, id, Change::Length(length.max(now)));
            Ok(())
        })
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.with("truncate", |state, id| {
            Handle::change(state, id, Change::Length(length));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with("sync", |state, id| {
            if state.ignores(&state.files[&id].path) {
                return Ok(());
            }
            let file = state.files.get_mut(&id).unwrap();
            file.synced.clone_from(&file.current);
            file.unsynced.clear();
            Ok(())
        })
    }
}
