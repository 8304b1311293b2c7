//! The programs, hosted in a Python process.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aidb_client::pb;
use aidb_client::tls::Pem;
use aidb_lsm::{Import, LogOp, LogOpKind};
use bytes::Bytes;
use prost::Message;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tonic::Status;

use super::failure::{failure, of_engine, of_start, of_status};
use super::log::{LogChunk, log_chunk};
use super::observed::Observed;
use super::store::sync_mode;
use crate::primary::durable::Mode;
use crate::primary::{Primary, PrimaryOptions, moving};
use crate::replica::{Replica, ReplicaOptions, Warm};
use crate::router::Router;
use crate::serve::{
    self, Host, Identity, Limits, Registration, Role, Scope, Security, ServeOptions, StartError,
    Token, Watched,
};

const LONGEST_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// A primary, replica or router. It answers from its construction on: STARTING until `begin`.
#[pyclass(frozen, module = "aidb_node._native")]
pub struct Server {
    host: Host,
    primary: Option<Arc<Primary>>,
    security: Option<Arc<Security>>,
}

/// What an import holds at one position of the source's log.
#[pyclass(frozen, module = "aidb_node._native")]
pub struct PinnedImport(moving::PinnedSlots);

#[pymethods]
impl PinnedImport {
    /// (entries, sum of their hashes), without those that expire at or before `live_after_ms`.
    fn digest(&self, py: Python<'_>, live_after_ms: u64) -> PyResult<(u64, u64)> {
        py.detach(|| self.0.digest(live_after_ms))
            .map_err(of_engine)
    }
}

type Checkpointed = (u64, u64, u64, Vec<(String, u64)>);

/// What every program is told.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Common {
    name: String,
    listen: String,
    advertise: String,
    metrics: String,
    coordinator: String,
    threads: usize,
    connections: usize,
    patience: f64,
    zone: String,
    node: String,
    process_id: String,
    health: String,
    keys: Option<Keys>,
    #[pyo3(default)]
    slow_request_ms: u64,
    #[pyo3(default)]
    traces: bool,
}

/// What a secured program is told more: the files of its TLS directory, and who may call it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Keys {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Vec<u8>,
    domain: String,
    tokens: Vec<TokenRow>,
}

/// Its name, SHA-256, level by its number in the contracts, expiry in ms since 1970 or 0, and the keyspaces and prefixes that it is
/// limited to.
type TokenRow = (String, [u8; 32], i32, u64, Vec<u32>, Vec<Vec<u8>>);

impl Keys {
    fn security(self) -> PyResult<Arc<Security>> {
        let pem = Pem {
            ca: &self.ca,
            certificate: &self.certificate,
            key: &self.key,
        };
        Security::new(&pem, &self.domain, tokens(self.tokens))
            .map(Arc::new)
            .map_err(|bad| of_start(&StartError::Credentials(bad)))
    }
}

fn tokens(rows: Vec<TokenRow>) -> Vec<Token> {
    let known = |(name, sha256, access, expires_ms, keyspaces, prefixes): TokenRow| {
        let scope = Scope {
            keyspaces,
            prefixes,
        };
        let access = pb::Access::try_from(access).ok()?;
        // No token makes a program of its bearer.
        (access < pb::Access::Program).then_some(Token {
            name: name.into(),
            sha256,
            access,
            expires_ms,
            scope: (!scope.is_all()).then(|| Arc::new(scope)),
        })
    };
    rows.into_iter().filter_map(known).collect()
}

impl Common {
    fn options(self, role: pb::Role, shard: u32, disk_id: String) -> PyResult<ServeOptions> {
        Ok(ServeOptions {
            identity: Identity {
                name: self.name,
                role,
                shard,
                zone: self.zone,
                node: self.node,
                disk_id,
                process_id: self.process_id,
            },
            listen: self.listen,
            advertise: self.advertise,
            metrics: self.metrics,
            coordinator: self.coordinator,
            threads: self.threads.clamp(1, 256),
            health: self.health,
            security: self.keys.map(Keys::security).transpose()?,
            limits: Limits {
                connections: self.connections,
                patience: Duration::try_from_secs_f64(self.patience)
                    .map_or(LONGEST_PATIENCE, |patience| patience.min(LONGEST_PATIENCE)),
                ..Limits::default()
            },
            watched: Watched {
                slow: (self.slow_request_ms > 0)
                    .then(|| Duration::from_millis(self.slow_request_ms)),
                traces: self.traces,
            },
        })
    }
}

#[pymethods]
impl Server {
    /// Opens the store below `data`, which locks it, and binds.
    #[staticmethod]
    #[pyo3(signature = (common, *, shard, data, disk_id, sync, cache_bytes, memtable_bytes, memory_bytes, archive_lag_bytes))]
    #[allow(clippy::too_many_arguments)]
    fn primary(
        py: Python<'_>,
        common: Common,
        shard: u32,
        data: PathBuf,
        disk_id: String,
        sync: &str,
        cache_bytes: usize,
        memtable_bytes: usize,
        memory_bytes: usize,
        archive_lag_bytes: Option<u64>,
    ) -> PyResult<Self> {
        let options = PrimaryOptions {
            directory: data,
            sync: sync_mode(sync)?,
            cache_bytes,
            memtable_bytes,
            archive_lag_bytes,
            memory_bytes,
        };
        serve::keep_small_pages();
        py.detach(|| {
            let primary = Arc::new(Primary::open(&options).map_err(of_engine)?);
            let options = common.options(pb::Role::Primary, shard, disk_id)?;
            let role: Arc<dyn Role> = Arc::<Primary>::clone(&primary);
            let host = Host::start(&options, role).map_err(|error| of_start(&error))?;
            Ok(Self {
                host,
                primary: Some(primary),
                security: options.security,
            })
        })
    }

    #[staticmethod]
    #[pyo3(signature = (common, *, shard, cache_bytes, update_bytes, warm, tail_bytes))]
    fn replica(
        py: Python<'_>,
        common: Common,
        shard: u32,
        cache_bytes: usize,
        update_bytes: u32,
        warm: &str,
        tail_bytes: usize,
    ) -> PyResult<Self> {
        let options = ReplicaOptions {
            cache_bytes: cache_bytes as u64,
            update_bytes,
            warm: match warm {
                "siblings" => Warm::Siblings,
                "scan" => Warm::Scan,
                _ => Warm::None,
            },
            tail_bytes,
        };
        serve::keep_small_pages();
        py.detach(|| {
            let role: Arc<dyn Role> = Arc::new(Replica::new(options));
            let options = common.options(pb::Role::Replica, shard, String::new())?;
            let host = Host::start(&options, role).map_err(|error| of_start(&error))?;
            Ok(Self {
                host,
                primary: None,
                security: options.security,
            })
        })
    }

    /// `hedge_extra`: second reads for each read at most, 0 = none.
    #[staticmethod]
    #[pyo3(signature = (common, *, hedge_extra))]
    fn router(py: Python<'_>, common: Common, hedge_extra: f64) -> PyResult<Self> {
        serve::keep_small_pages();
        py.detach(|| {
            let options = common.options(pb::Role::Router, 0, String::new())?;
            let role: Arc<dyn Role> = Arc::new(Router::new(hedge_extra));
            let host = Host::start(&options, role).map_err(|error| of_start(&error))?;
            Ok(Self {
                host,
                primary: None,
                security: options.security,
            })
        })
    }

    /// `host:port` of the listener.
    #[getter]
    fn address(&self) -> String {
        self.host.address().to_string()
    }

    /// Last epoch on the disk and the end of its log; (0, 0) for roles without a disk.
    fn disk_position(&self) -> (u64, u64) {
        self.primary.as_ref().map_or((0, 0), |primary| {
            (primary.store.epoch(), primary.store.synced_lsn())
        })
    }

    /// Asks the coordinator once. Raises `AidbError`.
    #[pyo3(signature = (*, cluster_uid, disk_epoch, pending_epoch, last_lsn, timeout))]
    fn register(
        &self,
        py: Python<'_>,
        cluster_uid: String,
        disk_epoch: u64,
        pending_epoch: u64,
        last_lsn: u64,
        timeout: f64,
    ) -> PyResult<Grant> {
        let start = Registration {
            cluster_uid,
            disk_epoch,
            pending_epoch,
            last_lsn,
        };
        let granted = py.detach(|| self.host.register(&start, seconds(timeout)));
        granted
            .map(|granted| Grant { granted })
            .map_err(|status| of_status(&status))
    }

    /// Serves by the grant.
    fn begin(&self, py: Python<'_>, grant: &Grant) -> PyResult<()> {
        py.detach(|| self.host.begin(grant.granted.clone()))
            .map_err(|status| of_status(&status))
    }

    /// The next event, None when there is none within `timeout` seconds.
    fn wait(&self, py: Python<'_>, timeout: f64) -> Option<Event> {
        py.detach(|| self.host.wait(seconds(timeout)))
            .map(Event::from)
    }

    /// The log after `lsn`, see [`log_chunk`]. Raises `LogGap`, `AidbError`.
    fn log_after(&self, py: Python<'_>, lsn: u64, max_bytes: usize) -> PyResult<Option<LogChunk>> {
        let primary = self.with_data()?;
        log_chunk(py, &primary.store, lsn, max_bytes)
    }

    /// As the archive of this epoch begins, earlier ones have the log through `lsn`.
    fn archive_begins(&self, lsn: u64) -> PyResult<()> {
        let primary = self.with_data()?;
        primary.store.archived(lsn, 0);
        primary.durable.archived(lsn);
        Ok(())
    }

    /// The archive has the log through `lsn`, of which `bytes` are new to it. `first_sent_ns` (boot time, D1): when
    /// the create of an object of `epoch`'s log was sent that succeeded at its first attempt; 0 = it was none.
    fn archived(&self, lsn: u64, bytes: u64, epoch: u64, first_sent_ns: u64) -> PyResult<()> {
        let primary = self.with_data()?;
        primary.store.archived(lsn, bytes);
        primary.durable.archived(lsn);
        if first_sent_ns > 0 {
            self.host.archived(epoch, first_sent_ns);
        }
        Ok(())
    }

    /// Waits at most `timeout` seconds for somebody who waits for what is synced and not archived; whether there is one.
    fn await_demand(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let primary = self.with_data()?;
        let synced = || primary.store.synced_lsn();
        Ok(py.detach(|| primary.durable.await_demand(seconds(timeout), synced)))
    }

    /// The log through `lsn` is to be archived at once.
    fn want_archived(&self, lsn: u64) -> PyResult<()> {
        self.with_data()?.durable.want(lsn);
        Ok(())
    }

    /// Ends one wait of `await_demand`, the present one or the next.
    fn end_wait(&self) -> PyResult<()> {
        self.with_data()?.durable.end_wait();
        Ok(())
    }

    /// What the tail set is decided by (D5).
    fn tail_status(&self) -> PyResult<TailStatus> {
        let primary = self.with_data()?;
        let node = self.host.node();
        let view = node.topology.view();
        let shard = view.shard(node.identity.shard);
        let nodes: HashMap<&str, &str> = shard
            .iter()
            .flat_map(|shard| &shard.replicas)
            .map(|replica| (replica.name.as_str(), replica.node.as_str()))
            .collect();
        let followers = primary.standings().into_iter().map(|one| Follower {
            node: nodes
                .get(one.name.as_str())
                .copied()
                .unwrap_or_default()
                .into(),
            name: one.name,
            member: one.member,
            required: one.required,
            connected: one.connected,
            behind_ms: one.behind_ms,
            away_ms: one.away_ms,
        });
        let promised_lsn = primary
            .durable
            .mark(Mode::Replica)
            .max(primary.tail_set.epoch_lsn());
        Ok(TailStatus {
            mode: view.durability() as i32,
            node: node.identity.node.clone(),
            promised_lsn,
            covered: primary.durable.mark(Mode::Archived) >= promised_lsn,
            followers: followers.collect(),
        })
    }

    /// Asks the coordinator for `members` as the tail set (D5). Raises `AidbError`.
    fn set_tail_set(&self, py: Python<'_>, members: Vec<String>, timeout: f64) -> PyResult<()> {
        let primary = self.with_data()?;
        let wanted: BTreeSet<String> = members.iter().cloned().collect();
        let version = primary
            .tail_set
            .ask(&wanted)
            .map_err(|why| failure(pb::ErrorCode::Conflict, &why))?;
        py.detach(|| self.host.set_tail_set(members, version, seconds(timeout)))
            .map_err(|status| of_status(&status))
    }

    /// Waits at most `timeout` seconds for a topology after `version`: an encoded `Topology`, None when there is none.
    fn topology_after(&self, py: Python<'_>, version: u64, timeout: f64) -> Option<Vec<u8>> {
        let newer = py.detach(|| self.host.newer_view(version, seconds(timeout)))?;
        let topology = newer.cluster.topology.as_ref();
        topology.map(Message::encode_to_vec)
    }

    /// Asks for a topology that is at least `version`; whether there was one within `timeout` seconds.
    fn refresh(&self, py: Python<'_>, version: u64, timeout: f64) -> bool {
        py.detach(|| self.host.refresh(version, seconds(timeout)))
    }

    /// Which of the slots (inclusive ranges) hold anything.
    fn occupied_slots(&self, py: Python<'_>, spans: Vec<(u16, u16)>) -> PyResult<Vec<(u16, u16)>> {
        let primary = self.with_data()?;
        py.detach(|| moving::occupied(&primary.store, &spans))
            .map_err(of_engine)
    }

    /// Deletes all that the slots hold, which nobody may be shown.
    fn wipe_slots(&self, py: Python<'_>, spans: Vec<(u16, u16)>) -> PyResult<u64> {
        let ops = moving::naming(LogOpKind::RangeDelete, &spans);
        self.import(py, ops, 0, 0)
    }

    /// Takes a record that a source has sent; how many operations it had.
    fn import_record(&self, py: Python<'_>, record: &[u8], checksum: u32) -> PyResult<usize> {
        let record = Bytes::copy_from_slice(record);
        let ops = moving::decoded(record, checksum).map_err(of_engine)?;
        let count = ops.len();
        self.import(py, ops, 0, 0)?;
        Ok(count)
    }

    /// The import is complete: the record's LSN, which is at least `least_lsn`; the clock is at least `least_clock_ms`.
    fn gain_slots(
        &self,
        py: Python<'_>,
        spans: Vec<(u16, u16)>,
        least_lsn: u64,
        least_clock_ms: u64,
    ) -> PyResult<u64> {
        let ops = moving::naming(LogOpKind::Gained, &spans);
        self.import(py, ops, least_lsn, least_clock_ms)
    }

    /// What the slots hold now, to be compared.
    fn pin_slots(&self, spans: Vec<(u16, u16)>) -> PyResult<PinnedImport> {
        let primary = self.with_data()?;
        let snapshot = Arc::new(primary.store.snapshot());
        Ok(PinnedImport(moving::PinnedSlots { snapshot, spans }))
    }

    /// Waits at most `timeout` seconds until the object store has the log through `lsn`; whether it has, or there is none.
    fn await_archived(&self, py: Python<'_>, lsn: u64, timeout: f64) -> PyResult<bool> {
        let primary = Arc::clone(self.with_data()?);
        if !primary.archives() {
            return Ok(true);
        }
        let (time, patience) = (seconds(timeout), seconds(timeout + 1.0));
        let waited = py.detach(|| {
            self.host.within(patience, async move {
                let durable = &primary.durable;
                let place = durable.enter()?;
                Ok::<_, Status>(
                    durable
                        .wait(&place, Mode::Archived, lsn, time)
                        .await
                        .is_ok(),
                )
            })
        });
        waited
            .transpose()
            .map(|done| done.unwrap_or(false))
            .map_err(|status| of_status(&status))
    }

    /// A checkpoint in the new directory `path`: (lsn, epoch, clock in ms, [(name, bytes)]).
    fn checkpoint(&self, py: Python<'_>, path: PathBuf) -> PyResult<Checkpointed> {
        let primary = self.with_data()?;
        let taken = py
            .detach(|| primary.store.checkpoint(&path))
            .map_err(of_engine)?;
        let files = taken.files.into_iter();
        let files = files.map(|file| (file.name, file.bytes)).collect();
        Ok((taken.lsn, taken.epoch, taken.clock_ms, files))
    }

    /// (bytes that the archive lacks, synced LSN, clock in ms)
    fn log_position(&self) -> PyResult<(u64, u64, u64)> {
        let store = &self.with_data()?.store;
        Ok((
            store.unarchived_bytes(),
            store.synced_lsn(),
            store.clock_ms(),
        ))
    }

    /// Of the newest evidence of ownership (D1).
    fn evidence_age_ms(&self) -> u64 {
        self.host.evidence_age_ms()
    }

    /// What `GetStats` says of the second copy: an encoded `DurabilityStats`.
    fn report_durability(&self, encoded: &[u8]) -> PyResult<()> {
        let said = pb::DurabilityStats::decode(encoded)
            .map_err(|error| failure(pb::ErrorCode::Internal, &error.to_string()))?;
        let primary = self.with_data()?;
        let mut durability = primary
            .durability
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        *durability = Some(said);
        Ok(())
    }

    /// An encoded `GetStatsResponse`.
    fn stats(&self, py: Python<'_>) -> Vec<u8> {
        py.detach(|| self.host.stats().encode_to_vec())
    }

    /// Slow requests and those of sampled traces, the oldest first, `most` of them; and how many were dropped since the
    /// last call, because too many waited.
    fn observed(&self, most: usize) -> (Vec<Observed>, u64) {
        let (observed, dropped) = self.host.observed(most);
        let shard = self.host.shard();
        let each = observed.into_iter().map(|one| Observed::new(one, shard));
        (each.collect(), dropped)
    }

    /// Connections from now on use these files of the TLS directory. Raises ValueError, and keeps what there was, when
    /// they cannot be used.
    #[pyo3(signature = (*, ca, certificate, key))]
    fn renew(&self, ca: Vec<u8>, certificate: Vec<u8>, key: Vec<u8>) -> PyResult<()> {
        let Some(security) = &self.security else {
            return Ok(());
        };
        let pem = Pem {
            ca: &ca,
            certificate: &certificate,
            key: &key,
        };
        let renewed = security.credentials.renew(&pem);
        renewed.map_err(|bad| PyValueError::new_err(bad.to_string()))
    }

    /// Calls from now on are judged by these tokens.
    fn set_tokens(&self, rows: Vec<TokenRow>) {
        if let Some(security) = &self.security {
            security.set_tokens(tokens(rows));
        }
    }

    /// Lets no more requests in, and waits for those inside; true when all were answered within `grace` seconds.
    fn quiesce(&self, py: Python<'_>, grace: f64) -> bool {
        py.detach(|| self.host.quiesce(seconds(grace)))
    }

    /// Ends the program; true when every request inside was answered within `grace` seconds. Idempotent.
    fn stop(&self, py: Python<'_>, grace: f64) -> bool {
        py.detach(|| self.host.stop(seconds(grace)))
    }
}

impl Server {
    fn import(
        &self,
        py: Python<'_>,
        ops: Vec<LogOp>,
        least_lsn: u64,
        least_clock_ms: u64,
    ) -> PyResult<u64> {
        let primary = self.with_data()?;
        let noted = ops.clone();
        let import = Import {
            ops,
            least_lsn,
            least_clock_ms,
        };
        let lsn = py
            .detach(|| primary.store.import(import))
            .map_err(of_engine)?;
        primary.hidden.note(&noted);
        Ok(lsn)
    }

    fn with_data(&self) -> PyResult<&Arc<Primary>> {
        self.primary
            .as_ref()
            .ok_or_else(|| failure(pb::ErrorCode::Unsupported, "this role holds no data"))
    }
}

/// See `Server.tail_status`.
#[pyclass(frozen, get_all, module = "aidb_node._native")]
pub struct TailStatus {
    /// The cluster's, by its number in the contracts.
    mode: i32,
    node: String,
    /// Everything that was acknowledged lies at or below it.
    promised_lsn: u64,
    /// The archive has all that: members may leave.
    covered: bool,
    followers: Vec<Follower>,
}

#[pyclass(frozen, get_all, skip_from_py_object, module = "aidb_node._native")]
#[derive(Clone)]
pub struct Follower {
    name: String,
    /// Empty = not known.
    node: String,
    /// In the topology's set.
    member: bool,
    /// Writes wait for it.
    required: bool,
    connected: bool,
    behind_ms: u64,
    away_ms: u64,
}

/// What the coordinator granted.
#[pyclass(frozen, module = "aidb_node._native")]
pub struct Grant {
    granted: serve::Grant,
}

#[pymethods]
impl Grant {
    #[getter]
    fn cluster_uid(&self) -> &str {
        &self.granted.cluster_uid
    }

    #[getter]
    fn term(&self) -> u64 {
        self.granted.term
    }

    #[getter]
    fn epoch(&self) -> u64 {
        self.granted.epoch
    }

    #[getter]
    fn lease_seconds(&self) -> f64 {
        self.granted.lease.as_secs_f64()
    }
}

/// What the native side has to say: `kind` is "register_again", "drain", "backup", "hand_over", "act", "notice" or
/// "failed".
#[pyclass(frozen, get_all, module = "aidb_node._native")]
pub struct Event {
    kind: &'static str,
    /// Of a drain, in seconds; 0 = the configured one.
    grace: f64,
    /// Of a notice or a failure; of a backup, its name; of a hand-over, the epoch of who takes over; of an act, who asked.
    text: String,
    /// Of an act: the method, what it was asked with, and what became of it; else empty.
    act: Vec<String>,
}

impl From<serve::Event> for Event {
    fn from(event: serve::Event) -> Self {
        match event {
            serve::Event::RegisterAgain => Self {
                kind: "register_again",
                grace: 0.0,
                text: String::new(),
                act: Vec::new(),
            },
            serve::Event::Drain { grace } => Self {
                kind: "drain",
                grace: grace.as_secs_f64(),
                text: String::new(),
                act: Vec::new(),
            },
            serve::Event::Backup { name } => Self {
                kind: "backup",
                grace: 0.0,
                text: name,
                act: Vec::new(),
            },
            serve::Event::HandOver { epoch } => Self {
                kind: "hand_over",
                grace: 0.0,
                text: epoch.to_string(),
                act: Vec::new(),
            },
            serve::Event::Act {
                who,
                method,
                asked,
                outcome,
            } => Self {
                kind: "act",
                grace: 0.0,
                text: who,
                act: vec![method.into(), asked, outcome],
            },
            serve::Event::Notice { message } => Self {
                kind: "notice",
                grace: 0.0,
                text: message,
                act: Vec::new(),
            },
            serve::Event::Failed { reason } => Self {
                kind: "failed",
                grace: 0.0,
                text: reason,
                act: Vec::new(),
            },
        }
    }
}

/// Whatever a caller gives: nothing negative, nothing endless.
fn seconds(given: f64) -> Duration {
    Duration::try_from_secs_f64(given.clamp(0.0, 86_400.0)).unwrap_or_default()
}
