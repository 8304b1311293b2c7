//! The state of one node that every request sees.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use aidb_client::Token;
use aidb_client::error::{error, refuse, status};
use aidb_client::pb::{self, ErrorCode};
use aidb_client::tls::Dialer;
use tokio::sync::{Notify, watch};
use tonic::{Request, Status};

use super::admission::{Admission, Admitted, Inside, Phase};
use super::clock::{boottime_ns, wall_ms};
use super::connection::Connections;
use super::event::Event;
use super::expected::ExpectedAnswers;
use super::lease::Lease;
use super::load::Load;
use super::observed::Watch;
use super::options::{Identity, Limits, ServeOptions};
use super::origin::Origin;
use super::places::Places;
use super::process;
use super::role::{Grant, Report, Role};
use super::tally::{Tallies, requests};
use super::topology::{TopologyCell, View};

pub struct Node {
    pub identity: Identity,
    pub limits: Limits,
    pub coordinator: String,
    /// Where others reach this node.
    pub address: String,
    metrics_address: String,
    pub topology: TopologyCell,
    pub lease: Lease,
    pub admission: Arc<Admission>,
    /// How this node reaches other members.
    pub dialer: Dialer,
    pub connections: Arc<Connections>,
    pub places: StreamPlaces,
    pub expected: ExpectedAnswers,
    pub load: Load,
    pub(super) tallies: Tallies,
    /// Weak: the role holds the node.
    role: OnceLock<Weak<dyn Role>>,
    /// A heartbeat is wanted now (M10).
    pub(super) beat: Notify,
    pub(super) clock_bound_ms: AtomicU64,
    pub(super) skewed: AtomicBool,
    events: Sender<Event>,
    stop: watch::Sender<bool>,
    started: Instant,
}

impl Node {
    pub(super) fn new(options: &ServeOptions, address: String, events: Sender<Event>) -> Self {
        let limits = options.limits.clone();
        Self {
            identity: options.identity.clone(),
            coordinator: options.coordinator.clone(),
            address,
            metrics_address: options.metrics.clone(),
            topology: TopologyCell::default(),
            lease: Lease::default(),
            admission: Arc::new(Admission::new(limits.in_flight, limits.in_flight_bytes)),
            connections: Arc::new(Connections::new(
                process::room_for(limits.connections),
                limits.patience,
            )),
            places: StreamPlaces::new(&limits),
            expected: ExpectedAnswers::default(),
            load: Load::default(),
            tallies: Tallies::new(Watch::new(options.watched)),
            limits,
            dialer: Dialer::new(
                options
                    .security
                    .as_ref()
                    .map(|security| Arc::clone(&security.credentials)),
            ),
            role: OnceLock::new(),
            beat: Notify::new(),
            clock_bound_ms: AtomicU64::new(500),
            skewed: AtomicBool::new(false),
            events,
            stop: watch::Sender::new(false),
            started: Instant::now(),
        }
    }

    pub(super) fn attach(&self, role: &Arc<dyn Role>) {
        let _ = self.role.set(Arc::downgrade(role));
    }

    /// Takes what a grant says of the cluster.
    pub(super) fn begin(&self, grant: &Grant) {
        self.clock_bound_ms
            .store(grant.clock_bound.as_millis() as u64, Ordering::Relaxed);
        let skew = clock_difference(grant.sent_ms, wall_ms(), grant.coordinator_ms);
        self.skewed
            .store(skew > self.clock_bound_ms(), Ordering::Release);
        self.topology.offer(grant.view.clone());
    }

    pub(super) fn report(&self) -> Report {
        self.role
            .get()
            .and_then(Weak::upgrade)
            .map(|role| role.report())
            .unwrap_or_default()
    }

    /// First thing in every handler of Storage.
    pub fn admit<T>(
        &self,
        request: &Request<T>,
        header: Option<&pb::RequestHeader>,
        bytes: usize,
    ) -> Result<Admitted, Status> {
        self.admission.admit(Origin::of(request), header, bytes)
    }

    /// Counts `bytes` of a stream's message for `peer`, until they have left: BUSY when there is no room for them.
    pub fn carry(&self, peer: Option<SocketAddr>, bytes: usize) -> Result<Inside, Status> {
        let mut inside = self.admission.held(peer);
        inside.grow(bytes)?;
        Ok(inside)
    }

    /// The view to answer by: at least as new as what the client routed by and what its session has seen (M10, C5).
    pub async fn view_for(
        &self,
        header: Option<&pb::RequestHeader>,
        admitted: &Admitted,
    ) -> Result<Arc<View>, Status> {
        let wanted = match self.view_at_once(header)? {
            Ok(view) => return Ok(view),
            Err(wanted) => wanted,
        };
        let wait = admitted
            .deadline
            .remaining()
            .map_or(self.limits.refresh, |left| left.min(self.limits.refresh));
        self.beat.notify_one();
        if self.topology.at_least(wanted, wait).await
            && let Ok(view) = self.view_at_once(header)?
        {
            return Ok(view);
        }
        let have = self.topology.view().version();
        Err(refuse(
            ErrorCode::TopologyStale,
            format!(
                "this node knows topology version {have} and could not learn {wanted} in time; retry"
            ),
        ))
    }

    /// A view that is at least `version`, asked for now if need be; None: there was none within `wait`.
    pub async fn refreshed(&self, version: u64, wait: Duration) -> Option<Arc<View>> {
        if self.topology.view().version() < version {
            self.beat.notify_one();
            if !self.topology.at_least(version, wait).await {
                return None;
            }
        }
        Some(self.topology.view())
    }

    /// [`Node::view_for`] when it is at hand; else the version that has to be waited for.
    pub fn view_at_once(
        &self,
        header: Option<&pb::RequestHeader>,
    ) -> Result<Result<Arc<View>, u64>, Status> {
        let view = self.topology.view();
        Ok(self.suits(&view, header)?.map(|()| view))
    }

    /// Whether `view` is one to answer by; else the version that has to be waited for.
    pub fn suits(
        &self,
        view: &View,
        header: Option<&pb::RequestHeader>,
    ) -> Result<Result<(), u64>, Status> {
        let Some(header) = header else {
            return Ok(Ok(()));
        };
        let token = Token::decode(&header.token)
            .map_err(|damaged| refuse(ErrorCode::TokenInvalid, damaged.to_string()))?;
        let wanted = header.topology_version.max(token.topology_version);
        if view.version() < wanted {
            return Ok(Err(wanted));
        }
        self.check_session(header, &token, view)?;
        Ok(Ok(()))
    }

    /// C5: a session that saw what a takeover cut off is told so, reads and writes alike, also by those that its slots have
    /// moved to since: what it saw of their source may be lost as well (s4), and only the topology still says so. Caches
    /// ask their primary for what such a session wants of their shard.
    fn check_session(
        &self,
        header: &pb::RequestHeader,
        token: &Token,
        view: &View,
    ) -> Result<(), Status> {
        if header.consistency() == pb::Consistency::Eventual {
            return Ok(());
        }
        let left_to_primary =
            |shard| self.identity.role == pb::Role::Replica && shard == self.identity.shard;
        let mut positions = token
            .positions()
            .filter(|(shard, _)| !left_to_primary(*shard));
        let Some((shard, seen, cut_lsn)) = positions.find_map(|(shard, seen)| {
            let cut_lsn = view.cut_below(shard, seen)?;
            Some((shard, seen, cut_lsn))
        }) else {
            return Ok(());
        };
        let message = format!(
            "this session saw lsn {} of shard {shard} in epoch {}, of which a takeover has kept what is through \
             lsn {cut_lsn}: acknowledged writes were lost",
            seen.lsn, seen.epoch
        );
        Err(status(pb::Error {
            session_broken: Some(pb::SessionBroken {
                shard,
                token_lsn: seen.lsn,
                cut_lsn,
            }),
            ..error(ErrorCode::SessionBroken, message)
        }))
    }

    /// D1, C7: asked just before anything that only the owner may say.
    pub fn evidence(&self) -> Result<(), Status> {
        if self.skewed.load(Ordering::Acquire) {
            let bound = self.clock_bound_ms();
            let message = format!(
                "this node's clock differs from the coordinator's by more than {bound} ms; fix its time"
            );
            return Err(refuse(ErrorCode::ClockSkew, message));
        }
        let now = boottime_ns();
        if self.lease.holds(now) {
            return Ok(());
        }
        // No figure in it: as a reason of health it has to stay the same from beat to beat.
        Err(refuse(
            ErrorCode::NoLease,
            "the evidence of ownership is too old: the coordinator has not renewed the lease; retry in a moment",
        ))
    }

    pub fn clock_bound_ms(&self) -> u64 {
        self.clock_bound_ms.load(Ordering::Relaxed)
    }

    pub fn phase(&self) -> Phase {
        self.admission.phase()
    }

    /// Resolves when the node stops: every long stream and background task ends then.
    pub async fn stopping(&self) {
        let mut stop = self.stop.subscribe();
        // The sender lives in `self`, so that the wait ends with the flag only.
        let _ = stop.wait_for(|stopped| *stopped).await;
    }

    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Tells Python. Nobody listens any more when the process ends: then the event is moot.
    pub fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    pub fn response_header(
        &self,
        view: &View,
        lsn: u64,
        served_by: pb::ServedBy,
    ) -> pb::ResponseHeader {
        pb::ResponseHeader {
            lsn,
            shard: self.identity.shard,
            served_by: served_by.into(),
            topology_version: view.version(),
            ..Default::default()
        }
    }

    pub(super) fn uptime_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// `GetStats`: the role's figures and the process's.
    pub fn stats(&self) -> pb::GetStatsResponse {
        let of_role = self
            .role
            .get()
            .and_then(Weak::upgrade)
            .map(|role| role.stats())
            .unwrap_or_default();
        let methods = self.tallies.stats();
        let (in_flight, in_flight_bytes) = self.admission.inside();
        let is_primary = self.identity.role == pb::Role::Primary;
        pb::GetStatsResponse {
            name: self.identity.name.clone(),
            role: self.role_name().into(),
            uptime_ms: self.uptime_ms(),
            memory_bytes: process::resident_bytes(),
            cpu_us: process::cpu_us(),
            requests: requests(&methods),
            methods,
            in_flight: in_flight as u64,
            in_flight_bytes: in_flight_bytes as u64,
            observed_dropped: self.tallies.watch().dropped(),
            evidence_age_ms: match is_primary {
                true => self.lease.age_ms(boottime_ns()),
                false => 0,
            },
            connections: Some(self.connections.stats()),
            load: (self.identity.role != pb::Role::Router).then(|| self.load.stats()),
            ..of_role
        }
    }

    /// `HealthCheck`, for every role.
    pub fn health(&self) -> pb::HealthCheckResponse {
        let (serving, reason) = self.serving();
        pb::HealthCheckResponse {
            header: None,
            serving,
            reason,
            role: self.role_name().into(),
            name: self.identity.name.clone(),
        }
    }

    /// Whether requests would be answered, and else why not.
    pub(super) fn serving(&self) -> (bool, String) {
        match self.phase() {
            Phase::Starting => return (false, "starting".into()),
            Phase::Stopping => return (false, "shutting down".into()),
            Phase::Serving => {}
        }
        if self.identity.role == pb::Role::Primary
            && let Err(status) = self.evidence()
        {
            return (false, status.message().into());
        }
        let report = self.report();
        (report.healthy, report.reason)
    }

    pub fn role_name(&self) -> &'static str {
        match self.identity.role {
            pb::Role::Primary => "primary",
            pb::Role::Replica => "replica",
            pb::Role::Router => "router",
            pb::Role::Coordinator => "coordinator",
            pb::Role::Unknown => "unknown",
        }
    }

    /// What this node says of itself when it registers.
    pub(super) fn member(&self) -> pb::Member {
        let identity = &self.identity;
        pb::Member {
            name: identity.name.clone(),
            address: self.address.clone(),
            zone: identity.zone.clone(),
            node: identity.node.clone(),
            role: identity.role.into(),
            feature_min: *FEATURE_LEVELS.start(),
            feature_max: *FEATURE_LEVELS.end(),
            shard: identity.shard,
            metrics_address: self.metrics_address.clone(),
        }
    }

    /// Compares clocks by one exchange: beyond the bound even when all of the way took no time at all (C7).
    pub(super) fn compare_clocks(&self, sent_ms: u64, theirs_ms: u64) {
        let skew = clock_difference(sent_ms, wall_ms(), theirs_ms);
        self.skewed
            .store(skew > self.clock_bound_ms(), Ordering::Release);
    }
}

pub struct StreamPlaces {
    /// Of all services.
    pub calls: Arc<Places>,
    pub scans: Arc<Places>,
    pub pipelines: Arc<Places>,
    pub watchers: Arc<Places>,
    pub subscribers: Arc<Places>,
}

impl StreamPlaces {
    fn new(limits: &Limits) -> Self {
        let places = |most| Arc::new(Places::new(most));
        Self {
            calls: Arc::new(Places::many(limits.calls)),
            scans: places(limits.scans),
            pipelines: places(limits.pipelines),
            watchers: places(limits.watchers),
            subscribers: places(limits.subscribers),
        }
    }
}

/// The formats this build reads and writes; the topology says which of them are written.
///
/// ```text
/// 1   the first
/// 2   log records of slot moves: slots gained, slots lost, deletions of slots
/// ```
pub const FEATURE_LEVELS: std::ops::RangeInclusive<u32> = 1..=2;

/// The least difference (ms) that explains an answer stamped `theirs`, sent at `sent` and received at `received`.
fn clock_difference(sent: u64, received: u64, theirs: u64) -> u64 {
    if theirs == 0 {
        return 0;
    }
    sent.saturating_sub(theirs)
        .max(theirs.saturating_sub(received))
}

/// How long one call to the coordinator may take.
pub(super) fn call_timeout(lease: Duration) -> Duration {
    (lease / 4).clamp(Duration::from_millis(100), Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_no_skew() {
        assert_eq!(clock_difference(1000, 9000, 5000), 0);
        assert_eq!(clock_difference(1000, 1010, 400), 600);
        assert_eq!(clock_difference(1000, 1010, 1710), 700);
        assert_eq!(clock_difference(1000, 1010, 0), 0);
    }
}
