//! One life of a store on a disk that crashes again and again under it, without its knowledge: each
//! crash is a copy of the disk. When the life is over it is known what all writers did in which order,
//! and every copy is opened and compared with that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use aidb_lsm::{Options, RequestId, Store, SyncMode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::tally::Tally;
use crate::support::history::{Base, History};
use crate::support::steps::{START_MS, Step, step};
use crate::support::{FaultIo, Loss, Lost, ManualClock, dir, options};

/// Which syncs do nothing.
pub type Defect = fn(&Path) -> bool;

const WRITERS: u64 = 4;
const STEPS: u64 = 250;
/// Crashes in a life.
const CRASHES: usize = 12;

pub struct Life {
    disk: FaultIo,
    base: Base,
    clock: ManualClock,
    number: u64,
}

/// What a crash left, and what it may not have taken.
struct Image {
    disk: FaultIo,
    at: String,
    loss: Loss,
    lost: Lost,
    promised: u64,
    /// Commits acknowledged before, and complete checkpoints.
    acknowledged: Vec<u64>,
    checkpoints: usize,
}

/// What writers share.
#[derive(Clone)]
struct Shared {
    history: Arc<Mutex<History>>,
    images: Arc<Mutex<Vec<Image>>>,
    stop: Arc<AtomicBool>,
    ingests: Arc<AtomicU64>,
    epochs: Arc<AtomicU64>,
    recycled: Arc<AtomicU64>,
}

impl Life {
    pub fn new(random: &mut StdRng) -> Life {
        Life {
            disk: FaultIo::default(),
            base: Base::default(),
            clock: ManualClock::new(START_MS),
            number: random.random_range(0..1 << 20),
        }
    }

    /// Returns what to go on with, unless something was violated.
    pub fn run(
        self,
        defect: Option<Defect>,
        rounds: u64,
        random: &mut StdRng,
        tally: &mut Tally,
    ) -> Option<Life> {
        let seed: u64 = random.random();
        let crashes = CRASHES.min(rounds as usize);
        let shared = Shared {
            history: Arc::new(Mutex::new(History::new(self.base.clone()))),
            images: Arc::default(),
            stop: Arc::default(),
            ingests: Arc::default(),
            epochs: Arc::default(),
            recycled: Arc::default(),
        };
        if let Some(defect) = defect {
            self.disk.ignore_syncs(defect);
        }
        let store = Arc::new(OnceLock::new());
        self.crash_often(&shared, &store, crashes, random);
        let faults = self.fault(random, defect.is_none());
        let options = || options::draw(seed, Arc::new(self.disk.clone()), &self.clock);
        let sync = options().sync;
        let ended = catch_unwind(AssertUnwindSafe(|| match Store::open(dir(), options()) {
            Ok(opened) => {
                let _ = store.set(opened.clone());
                self.write(&opened, seed, &shared, &options);
                let stats = opened.stats();
                tally.flushed += u64::from(stats.levels.iter().any(|level| level.0 > 0));
                tally.compacted += u64::from(stats.levels.iter().skip(1).any(|level| level.0 > 0));
                let closed = opened.close();
                let sound = defect.is_some() || faults.load(Ordering::SeqCst) > 0;
                assert!(closed.is_ok() || sound, "{closed:?} without a fault");
            }
            Err(error) => assert!(faults.load(Ordering::SeqCst) > 0, "cannot open: {error}"),
        }));
        self.disk.heal();
        tally.lives += 1;
        tally.faults += faults.load(Ordering::SeqCst);
        let history = shared.history.lock().unwrap().clone();
        tally.acknowledged += history.acknowledged;
        tally.ingests += shared.ingests.load(Ordering::SeqCst);
        tally.epochs += shared.epochs.load(Ordering::SeqCst);
        tally.recycled += shared.recycled.load(Ordering::SeqCst);
        let images = std::mem::take(&mut *shared.images.lock().unwrap());
        if let Err(panic) = ended {
            let what = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            tally.round(
                &format!("{sync:?} while writing"),
                &[format!("a panic: {what}")],
            );
            return None;
        }
        if images.is_empty() {
            // The fault came before the first crash.
            return None;
        }
        let chosen = random.random_range(0..images.len());
        let mut next = None;
        let mut sound = true;
        for (position, image) in images.into_iter().enumerate() {
            let found = self.check(&image, &history, sync, random, tally);
            sound &= found.is_some();
            if position == chosen {
                next = found;
            }
        }
        let (disk, base) = next.filter(|_| sound)?;
        Some(Life {
            disk,
            base,
            clock: self.clock,
            number: self.number + 1,
        })
    }

    /// Copies what crashes leave, at calls drawn at random: of any kind, or of one that
    /// matters and seldom comes.
    fn crash_often(
        &self,
        shared: &Shared,
        store: &Arc<OnceLock<Store>>,
        crashes: usize,
        random: &mut StdRng,
    ) {
        const KINDS: [&str; 8] = [
            "sync",
            "sync",
            "rename",
            "remove",
            "link",
            "sync_dir",
            "truncate",
            "preallocate",
        ];
        let mut random = StdRng::seed_from_u64(random.random());
        let draw = move |random: &mut StdRng| {
            let kind = random
                .random::<bool>()
                .then(|| KINDS[random.random_range(0..KINDS.len())]);
            let many = if random.random() { 12 } else { 120 };
            (
                kind,
                random.random_range(0..if kind.is_some() { 5 } else { many }),
            )
        };
        let (shared, store) = (shared.clone(), Arc::clone(store));
        let base = self.base.lsn;
        let (mut kind, mut left) = draw(&mut random);
        let mut patience = 200;
        self.disk.watch(move |call, path, crash| {
            let segment = path.extension().is_some_and(|extension| extension == "log");
            shared
                .recycled
                .fetch_add(u64::from(call == "rename" && segment), Ordering::SeqCst);
            patience -= 1;
            if kind.is_some_and(|kind| kind != call) && patience > 0 {
                return;
            }
            if left > 0 && patience > 0 {
                left -= 1;
                return;
            }
            let mut images = shared.images.lock().unwrap();
            if images.len() == crashes {
                shared.stop.store(true, Ordering::SeqCst);
                return;
            }
            // What was promised is asked before the disk is copied.
            let history = shared.history.lock().unwrap();
            let synced = store.get().map_or(base, Store::synced_lsn);
            let promised = history.promised.max(synced);
            let checkpoints = history.checkpoints.len();
            let acknowledged = history.lsns();
            drop(history);
            let loss = if random.random() {
                Loss::All
            } else {
                Loss::Some
            };
            let (disk, lost) = crash(loss, &mut random);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let at = format!("{call} {name}");
            images.push(Image {
                disk,
                at,
                loss,
                lost,
                promised,
                acknowledged,
                checkpoints,
            });
            (kind, left) = draw(&mut random);
            patience = 200;
        });
    }

    /// In some lives one call fails.
    fn fault(&self, random: &mut StdRng, wanted: bool) -> Arc<AtomicU64> {
        let faults = Arc::new(AtomicU64::new(0));
        if wanted && random.random_range(0..4) == 0 {
            let count = Arc::clone(&faults);
            let mut left: u32 = random.random_range(0..1500);
            self.disk.inject(move |call, path| {
                let fails = left == 0;
                left = left.wrapping_sub(1);
                count.fetch_add(u64::from(fails), Ordering::SeqCst);
                fails.then(|| std::io::Error::other(format!("{call} {} fails", path.display())))
            });
        }
        faults
    }

    fn write(
        &self,
        store: &Store,
        seed: u64,
        shared: &Shared,
        options: &(dyn Fn() -> Options + Sync),
    ) {
        let writers = StdRng::seed_from_u64(seed).random_range(1..=WRITERS);
        thread::scope(|scope| {
            for writer in 0..writers {
                scope.spawn(move || self.writer(writer, store, seed, shared, options));
            }
        });
    }

    /// Writes until enough crashes were made or the store refuses.
    fn writer(
        &self,
        writer: u64,
        store: &Store,
        seed: u64,
        shared: &Shared,
        options: &dyn Fn() -> Options,
    ) {
        let group = options().sync == SyncMode::Group;
        for number in 0..STEPS {
            if shared.stop.load(Ordering::SeqCst) {
                return;
            }
            let seq = self.number << 20 | number;
            let request = RequestId {
                client: writer + 1,
                seq,
            };
            let step = step(seed ^ (writer << 32 | number), request, writer == 0);
            let id = self.number << 24 | writer << 20 | number;
            if number % 16 == 0 {
                self.clock.advance(number * 10);
            }
            match step.perform(store, &options(), Path::new("/"), id) {
                Ok(done) => {
                    let (ingest, epoch) = (
                        matches!(step, Step::Ingest(..)),
                        matches!(step, Step::Epoch),
                    );
                    shared
                        .ingests
                        .fetch_add(u64::from(ingest), Ordering::SeqCst);
                    shared.epochs.fetch_add(u64::from(epoch), Ordering::SeqCst);
                    shared.history.lock().unwrap().done(done, group);
                }
                Err(_) => {
                    shared
                        .history
                        .lock()
                        .unwrap()
                        .unanswered
                        .push((request, step));
                    return;
                }
            }
        }
    }

    /// Opens what the crash left, with another crash while it is opened and one after it. Returns what
    /// is left in the end, unless it is not what it must be.
    fn check(
        &self,
        image: &Image,
        history: &History,
        sync: SyncMode,
        random: &mut StdRng,
        tally: &mut Tally,
    ) -> Option<(FaultIo, Base)> {
        let seed: u64 = random.random();
        let mut violations = Vec::new();
        let mut open = |disk: &FaultIo, promised: u64, history: &History| {
            let options = || options::draw_followed(seed, Arc::new(disk.clone()), &self.clock);
            let found = catch_unwind(AssertUnwindSafe(|| {
                let store =
                    Store::open(dir(), options()).map_err(|error| format!("open: {error}"))?;
                let found = history.check(&store, promised);
                // As it is at the moment of the answer, not closed in order.
                let (left, _) = disk.crash(Loss::All, &mut StdRng::seed_from_u64(seed));
                found.map(|base| (left, base))
            }));
            let found =
                found.unwrap_or_else(|_| Err("a panic while it was opened and checked".into()));
            found.map_err(|what| violations.push(what)).ok()
        };
        let in_recovery = crash_once(&image.disk, random);
        let first = open(&image.disk, image.promised, history);
        image.disk.heal();
        let twice = in_recovery.lock().unwrap().take();
        tally.crashes_in_recovery += u64::from(twice.is_some());
        if let Some(twice) = twice {
            open(&twice, image.promised, history);
        }
        // What a recovered store showed stays, whatever happens next.
        let last = first.and_then(|(left, base)| open(&left, base.lsn, history));
        if let Some((left, _)) = &last {
            let options = |_: &Path| options::draw(seed, Arc::new(left.clone()), &self.clock);
            let checked = history.check_checkpoints(image.checkpoints, options);
            tally.checkpoints_checked += image.checkpoints as u64;
            violations.extend(checked.err());
        }
        let dropped = image.lost.bytes > 0;
        tally.rounds_that_dropped += u64::from(dropped);
        tally.dropped_bytes += image.lost.bytes;
        tally.undone_names += image.lost.names;
        if let Some((_, base)) = &last {
            let lost = image
                .acknowledged
                .iter()
                .filter(|lsn| **lsn > base.lsn)
                .count() as u64;
            match sync {
                SyncMode::Group => tally.lost_group += lost,
                SyncMode::Interval(_) => tally.lost_interval += lost,
                SyncMode::None => tally.lost_none += lost,
            }
        }
        let did = format!(
            "{sync:?} crash at {} left {:?} bytes={} names={}",
            image.at, image.loss, image.lost.bytes, image.lost.names
        );
        let sound = violations.is_empty();
        tally.round(&did, &violations);
        last.filter(|_| sound)
    }
}

/// At one of the next calls.
fn crash_once(disk: &FaultIo, random: &mut StdRng) -> Arc<Mutex<Option<FaultIo>>> {
    let left = Arc::new(Mutex::new(None));
    let put = Arc::clone(&left);
    let mut calls: u32 = random.random_range(0..60);
    let mut random = StdRng::seed_from_u64(random.random());
    disk.watch(move |_, _, crash| {
        if calls == 0 {
            let loss = if random.random() {
                Loss::All
            } else {
                Loss::Some
            };
            *put.lock().unwrap() = Some(crash(loss, &mut random).0);
        }
        calls = calls.wrapping_sub(1);
    });
    left
}
