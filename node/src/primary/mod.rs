//! The primary: owner of a shard's data.
//!
//! Write path: `storage` (admission, limits) -> `write` (request to batch) -> `commit` (single writes: `together`, or `run`
//! in a pipeline) -> the engine, where `gate` judges ownership and request ids -> what `durable` says of the mode (D4) ->
//! evidence checked once more -> answer. Read path: `storage` -> engine -> `durable` (C6) -> evidence -> answer.
//! `replication` streams what was synced to the cache replicas.

mod bounds;
mod commit;
pub(crate) mod durable;
mod engine;
mod gate;
mod gets;
mod groups;
mod holding;
pub(crate) mod limits;
pub(crate) mod moving;
mod replication;
mod requests;
mod run;
mod scan;
mod sizes;
mod slots;
mod storage;
mod streams;
pub(crate) mod tail_set;
mod together;
mod token;
#[cfg(any(test, feature = "faults"))]
mod volatile;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use aidb_client::error::refuse;
use aidb_client::pb::moving_server::MovingServer;
use aidb_client::pb::replication_server::ReplicationServer;
use aidb_client::pb::{self, ErrorCode};
use aidb_lsm::{Options, Store, Subscription, SyncMode};
use tokio::sync::watch;
use tonic::Status;
use tonic::service::RoutesBuilder;

use crate::serve::{Grant, Limits, Node, Report, Role, Unary, storage_service};
use durable::{Durable, Mode};
use engine::status_of;
use gate::{NodeCell, OwnerGate};
use moving::{Hidden, MovingService, Parking, Sessions};
use replication::ReplicationService;
pub(crate) use storage::ResponseStream;
use storage::StorageService;
use tail_set::{Standing, TailSet};
use together::Together;
pub(crate) use write::moved;

const SMALLEST_SEGMENT: u64 = 1 << 20;
/// Spans of request ids remembered.
const MOST_REQUESTS: usize = 1 << 20;
const REQUEST_BYTES: usize = 100;
/// Of a memory budget: for records that replicas may still ask for, and for request ids; the engine has the rest.
const TAIL_PART: usize = 8;
const REQUESTS_PART: usize = 16;
/// What the allocator rounds up, which grows with what is held.
const UNCOUNTED_PART: usize = 5;
/// Flushes, compactions, requests of the moment, and pages that the allocator keeps for a second in case they are wanted
/// again. Measured: whatever the budget is, so much more is resident. (Giving pages back at once, the allocator's
/// `purge_delay=0`, would keep the budget as well, and costs a sixth of the CPU.) Of a small budget half at most.
const WORKING_BYTES: usize = 32 << 20;
/// Of the requests that may be inside, those that may wait for the archive or the tail set.
const WAITING_PART: usize = 2;

#[derive(Clone, Debug)]
pub struct PrimaryOptions {
    pub directory: PathBuf,
    pub sync: SyncMode,
    pub cache_bytes: usize,
    pub memtable_bytes: usize,
    /// `Some`: the log is archived, and the archive may lag so many bytes (D7).
    pub archive_lag_bytes: Option<u64>,
    /// One budget for all that grows with data and load; the cache gets what the rest leaves. 0 = none.
    pub memory_bytes: usize,
}

pub struct Primary {
    pub store: Store,
    directory: PathBuf,
    node: NodeCell,
    subscribers: AtomicU32,
    /// Once a commit was answered so: later ones are refused before they are queued, as certainly not done.
    poisoned: AtomicBool,
    /// What Python last said of the second copy; `None` where there is none.
    pub durability: Mutex<Option<pb::DurabilityStats>>,
    /// The log is archived: what makes modes beyond `async` possible.
    archives: bool,
    pub durable: Arc<Durable>,
    pub tail_set: TailSet,
    /// Slots that move away from here, and requests that wait for the end of that.
    pub moving: Sessions,
    /// What slots that move here hold so far.
    pub hidden: Hidden,
    pub parking: Parking,
    /// Changes when streams may send more.
    changed: watch::Sender<()>,
    /// Keeps `changed` fed.
    _on_synced: Subscription,
}

impl Primary {
    /// Opens the store below the data directory, which locks it.
    pub fn open(options: &PrimaryOptions) -> aidb_lsm::Result<Self> {
        let node = NodeCell::default();
        let mut engine = Options {
            sync: options.sync,
            cache_bytes: options.cache_bytes,
            memtable_bytes: options.memtable_bytes,
            archive_lag_bytes: options.archive_lag_bytes,
            ..Options::default()
        };
        // A segment is read as a whole when the store is opened: no larger than what is replayed at once.
        let memtable = options.memtable_bytes as u64;
        engine.segment_bytes = engine.segment_bytes.min(memtable.max(SMALLEST_SEGMENT));
        let mut most_requests = MOST_REQUESTS;
        if options.memory_bytes > 0 {
            let tail = options.memory_bytes / TAIL_PART;
            let requests = options.memory_bytes / REQUESTS_PART;
            engine.tail_bytes = engine.tail_bytes.min(tail);
            let working = WORKING_BYTES.min(options.memory_bytes / 2);
            let uncounted = options.memory_bytes / UNCOUNTED_PART + working;
            engine.memory_bytes = Some(options.memory_bytes - tail - requests - uncounted);
            most_requests = most_requests.min(requests / REQUEST_BYTES);
        }
        let gate = OwnerGate::new(Arc::clone(&node), most_requests);
        engine.gate = Some(Box::new(gate));
        #[cfg(feature = "faults")]
        if let Some(disk) = volatile::VolatileDisk::from_env().map_err(volatile::unusable)? {
            engine.io = Arc::new(disk);
        }
        let store = Store::open(&store_path(&options.directory), engine)?;
        let changed = watch::Sender::new(());
        let most_waiting = Limits::default().in_flight / WAITING_PART;
        let durable = Arc::new(Durable::new(most_waiting, changed.clone()));
        let on_synced = store.on_synced({
            let (changed, durable) = (changed.clone(), Arc::clone(&durable));
            Box::new(move || {
                changed.send_replace(());
                durable.synced();
            })
        });
        Ok(Self {
            store,
            directory: options.directory.clone(),
            node,
            subscribers: AtomicU32::new(0),
            poisoned: AtomicBool::new(false),
            durability: Mutex::default(),
            archives: options.archive_lag_bytes.is_some(),
            tail_set: TailSet::new(Arc::clone(&durable)),
            durable,
            moving: Sessions::default(),
            hidden: Hidden::default(),
            parking: Parking::default(),
            changed,
            _on_synced: on_synced,
        })
    }
}

impl Primary {
    /// Those who keep the log's end, and those who follow to become members.
    pub fn standings(&self) -> Vec<Standing> {
        let synced = self.store.synced_lsn();
        self.tail_set.standings(synced, Instant::now())
    }

    pub fn archives(&self) -> bool {
        self.archives
    }

    /// What Python said, and what is known here.
    fn durability(&self) -> Option<pb::DurabilityStats> {
        let said = self
            .durability
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let said = said.clone()?;
        let view = self.node.get().map(|node| node.topology.view());
        Some(pb::DurabilityStats {
            archived_lsn: said.archived_lsn.max(self.durable.mark(Mode::Archived)),
            mode: view
                .map_or(pb::Durability::Default, |view| view.durability())
                .into(),
            held_lsn: self.durable.mark(Mode::Replica),
            waiting: self.durable.inside() as u64,
            tail: self.standings().into_iter().map(tail_member).collect(),
            ..said
        })
    }
}

fn tail_member(standing: Standing) -> pb::TailMember {
    pb::TailMember {
        name: standing.name,
        member: standing.member,
        connected: standing.connected,
        lsn: standing.lsn,
        lag_ms: standing.behind_ms,
    }
}

pub fn store_path(directory: &Path) -> PathBuf {
    directory.join("store")
}

#[tonic::async_trait]
impl Role for Primary {
    fn routes(self: Arc<Self>, node: &Arc<Node>, routes: &mut RoutesBuilder) -> Arc<dyn Unary> {
        let node = self.node.get_or_init(|| Arc::clone(node));
        let storage = StorageService {
            node: Arc::clone(node),
            primary: Arc::clone(&self),
            together: Arc::new(Together::default()),
            meter: node.load.reader(),
        };
        let message = node.limits.message_bytes();
        routes
            .add_service(storage_service(storage.clone(), message))
            .add_service(
                ReplicationServer::new(ReplicationService {
                    node: Arc::clone(node),
                    primary: Arc::clone(&self),
                })
                .max_encoding_message_size(message),
            )
            .add_service(
                MovingServer::new(MovingService {
                    node: Arc::clone(node),
                    primary: Arc::clone(&self),
                })
                .max_encoding_message_size(message),
            );
        Arc::new(storage)
    }

    /// Each grant is a new epoch (V4): it is in the log before anything is served in it.
    fn begin(&self, node: &Arc<Node>, grant: &Grant) -> Result<(), Status> {
        let shards = grant.view.topology.iter().flat_map(|it| &it.shards);
        let mut mine = shards.filter(|shard| shard.id == node.identity.shard);
        let least_lsn = mine.next().map_or(0, |shard| shard.least_lsn);
        self.store
            .begin_epoch_at(grant.epoch, least_lsn)
            .map_err(status_of)?;
        self.tail_set.begin(self.store.visible_lsn());
        Ok(())
    }

    /// Who has to hold what is acknowledged changes with the topology (D5).
    async fn run(self: Arc<Self>, node: Arc<Node>) {
        let mut views = node.topology.watch();
        let following = async {
            loop {
                let view = Arc::clone(&views.borrow_and_update());
                self.tail_set.look(&view, node.identity.shard);
                self.moving.look(&view);
                if views.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = following => {}
            () = node.stopping() => {}
        }
    }

    fn report(&self) -> Report {
        let stats = self.store.stats();
        let poisoned = stats
            .poisoned
            .map(|why| format!("the store refuses writes: {why}"));
        let stalled = stats
            .stall
            .map(|why| format!("writes are held back: {why}"));
        Report {
            healthy: poisoned.is_none(),
            reason: poisoned.or(stalled).unwrap_or_default(),
            keys: stats.keys.saturating_sub(self.hidden.keys()),
            bytes: stats.disk_bytes,
            applied_lsn: self.store.visible_lsn(),
            staleness_ms: 0,
        }
    }

    fn stats(&self) -> pb::GetStatsResponse {
        let stats = self.store.stats();
        let epoch = self.store.epoch();
        let visible_lsn = self.store.visible_lsn();
        let mut written = stats.level_stats.iter().map(|level| level.written_bytes);
        let flushed_bytes = written.next().unwrap_or_default();
        let compacted_bytes = written.sum();
        let hidden_keys = self.hidden.keys();
        let (parked, parked_before) = self.parking.counts();
        let delay = self.moving.delay();
        pb::GetStatsResponse {
            keys: stats.keys.saturating_sub(hidden_keys),
            moves: Some(pb::MoveStats {
                leaving: self.moving.count() as u32,
                delay_ms: delay.as_millis() as u64,
                parked: parked as u32,
                parked_before,
                hidden_keys,
            }),
            bytes: stats.disk_bytes,
            replication: Some(pb::ReplicationStats {
                epoch,
                applied_lsn: visible_lsn,
                staleness_ms: 0,
                connected: true,
                subscribers: self.subscribers.load(Ordering::Relaxed),
                ..Default::default()
            }),
            engine: Some(pb::EngineStats {
                epoch,
                visible_lsn,
                synced_lsn: self.store.synced_lsn(),
                memtable_bytes: stats.memtable_bytes,
                level_bytes: stats.levels.iter().map(|(_, bytes)| *bytes).collect(),
                level_files: stats.levels.iter().map(|(files, _)| *files).collect(),
                block_cache_hits: stats.cache_hits,
                block_cache_misses: stats.cache_misses,
                stalled: stats.stall.unwrap_or_default(),
                poisoned: stats.poisoned.unwrap_or_default(),
                flushed_bytes,
                compacted_bytes,
                debt_bytes: stats.debt_bytes,
                log_bytes: stats.log_bytes,
                stalls: stats.stalls,
                stall_us: stats.stall_time.as_micros() as u64,
                sync_us: stats.sync_time.as_micros() as u64,
                sync_us_buckets: stats.sync_us_buckets,
            }),
            durability: self.durability(),
            ..Default::default()
        }
    }

    /// Worked out off the serving threads: it walks through the memtables.
    async fn slot_sizes(&self, spans: Vec<(u16, u16)>) -> Result<Vec<pb::SlotSizes>, Status> {
        let store = self.store.clone();
        blocking(move || Ok(sizes::of(&store, &spans))).await
    }

    fn snapshots_ended(&self) -> Result<u64, Status> {
        let durability = self.durability().ok_or_else(|| {
            let message = "this primary was started without an object store (--objects)";
            refuse(ErrorCode::Unsupported, message)
        })?;
        Ok(durability.snapshots_ended)
    }

    async fn flush(&self) -> Result<u64, Status> {
        let store = self.store.clone();
        blocking(move || store.flush().map(|()| store.synced_lsn())).await
    }

    async fn checkpoint(&self, name: &str) -> Result<(String, u64), Status> {
        let (store, path) = (
            self.store.clone(),
            self.directory.join("checkpoints").join(name),
        );
        if path.exists() {
            let message =
                format!("there is a checkpoint called {name} already; choose another name");
            return Err(refuse(ErrorCode::InvalidArgument, message));
        }
        let taken = path.clone();
        let checkpoint = blocking(move || store.checkpoint(&taken)).await?;
        Ok((path.display().to_string(), checkpoint.lsn))
    }

    fn stop(&self) {
        // A failed close leaves what a crash leaves: acknowledged writes are in the log.
        let _ = self.store.clone().close();
    }
}

/// Runs work that reads or writes much of the disk off the serving thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> aidb_lsm::Result<T> + Send + 'static,
) -> Result<T, Status> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(status_of),
        Err(error) => Err(refuse(
            ErrorCode::Internal,
            format!("the work was not finished: {error}"),
        )),
    }
}
