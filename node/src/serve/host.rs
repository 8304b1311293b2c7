//! The threads of one program, and its beginning and end.
//!
//! Each serving thread has its own current-thread runtime and listener: a request never changes threads. One more, the
//! control thread, beats and runs the role's background work, so that a busy server keeps its lease.
//!
//! The end, in this order: refuse new requests; wait for those inside; leave the cluster; end the streams and the
//! servers; join the threads; let the role flush and release. Each step is bounded by what is left of the grace.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aidb_client::pb;
use aidb_client::pb::discovery_server::DiscoveryServer;
use aidb_client::pb::node_server::NodeServer;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tonic::Status;
use tonic::service::{Routes, RoutesBuilder};

use super::admin::NodeService;
use super::admission::Phase;
use super::answers::Limited;
use super::clock::boottime_ns;
use super::connection::Connections;
use super::coordinator::{Coordinator, Registration};
use super::discovery::DiscoveryService;
use super::errors::StartError;
use super::event::Event;
use super::health::Health;
use super::heartbeat;
use super::incoming::Incoming;
use super::lease::Renewal;
use super::listen::listen;
use super::node::{Node, call_timeout};
use super::observed::Observed;
use super::options::ServeOptions;
use super::role::{Grant, Role};
use super::security::{GuardLayer, Refusals, Security, secured};
use super::stack;
use super::tally::CountLayer;
use super::topology::View;
use super::unary::{Unary, UnaryLayer};

/// Connections to the port for probes.
const PROBES: usize = 128;

pub struct Host {
    node: Arc<Node>,
    role: Arc<dyn Role>,
    address: SocketAddr,
    coordinator: Coordinator,
    control: Handle,
    health: Health,
    events: Mutex<Receiver<Event>>,
    /// Ends the runtimes whatever they do.
    abort: watch::Sender<bool>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    threads: Vec<JoinHandle<()>>,
    heartbeat: Option<AbortHandle>,
    stopped: bool,
}

impl Host {
    /// Binds and answers at once: STARTING until `begin`.
    pub fn start(options: &ServeOptions, role: Arc<dyn Role>) -> Result<Self, StartError> {
        let listeners = listen(&options.listen, options.threads)?;
        let address = listeners[0].local_addr().map_err(StartError::Thread)?;
        let health_listener = match options.health.as_str() {
            "" => None,
            health => listen(health, 1)?.pop(),
        };
        let (sender, events) = mpsc::channel();
        let reached_at = match options.advertise.as_str() {
            "" => address.to_string(),
            advertised => advertised.into(),
        };
        let node = Arc::new(Node::new(options, reached_at, sender));
        let health = Health::default();
        let abort = watch::Sender::new(false);
        let control = runtime()?;
        let handle = control.handle().clone();
        let coordinator = {
            let _on_runtime = handle.enter();
            Coordinator::connect(&options.coordinator, &node.dialer).map_err(|_| {
                StartError::BadAddress {
                    listen: options.coordinator.clone(),
                }
            })?
        };
        node.attach(&role);
        let mut running = Running::default();
        for (index, listener) in listeners.into_iter().enumerate() {
            let runtime = runtime()?;
            let thread = Serving {
                node: Arc::clone(&node),
                role: Arc::clone(&role),
                health: health.clone(),
                security: options.security.clone(),
                abort: abort.subscribe(),
            };
            running
                .threads
                .push(spawn(format!("serve-{index}"), move || {
                    thread.run(runtime, listener)
                })?);
        }
        let patience = options.limits.patience;
        let background = {
            let (node, role, health) = (Arc::clone(&node), Arc::clone(&role), health.clone());
            async move {
                health.set(false).await;
                health.alive().await;
                tokio::join!(
                    role.run(node),
                    serve_health(health, health_listener, patience)
                );
            }
        };
        let ended = node_end(Arc::clone(&node), abort.subscribe());
        running.threads.push(spawn("control".into(), move || {
            let background = control.spawn(background);
            control.block_on(ended);
            background.abort();
            control.shutdown_timeout(Duration::from_millis(100));
        })?);
        Ok(Self {
            node,
            role,
            address,
            coordinator,
            control: handle,
            health,
            events: Mutex::new(events),
            abort,
            running: Mutex::new(running),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// One registration with the coordinator; the caller decides about another.
    pub fn register(&self, start: &Registration, timeout: Duration) -> Result<Grant, Status> {
        self.on_control(timeout, {
            let (node, coordinator, start) = (
                Arc::clone(&self.node),
                self.coordinator.clone(),
                start.clone(),
            );
            async move { coordinator.register(&node, &start, timeout).await }
        })
    }

    /// Takes a grant and serves by it, until the next one or the end.
    pub fn begin(&self, grant: Grant) -> Result<(), Status> {
        let mut running = self.running();
        if let Some(previous) = running.heartbeat.take() {
            previous.abort();
        }
        self.role.begin(&self.node, &grant)?;
        self.node.begin(&grant);
        self.node.lease.begin(Renewal {
            epoch: grant.epoch,
            term: grant.term,
            sent_ns: grant.sent_ns,
            lease_ms: grant.lease.as_millis() as u64,
        });
        self.node.admission.enter(Phase::Serving);
        let (node, health) = (Arc::clone(&self.node), self.health.clone());
        let coordinator = self.coordinator.clone();
        let beating = self.control.spawn(async move {
            health.set(node.serving().0).await;
            heartbeat::run(node, coordinator, grant, health).await;
        });
        running.heartbeat = Some(beating.abort_handle());
        Ok(())
    }

    /// See [`Coordinator::set_tail_set`]; the view of the answer is taken.
    pub fn set_tail_set(
        &self,
        members: Vec<String>,
        version: u64,
        timeout: Duration,
    ) -> Result<(), Status> {
        let (node, coordinator) = (Arc::clone(&self.node), self.coordinator.clone());
        let view = self.on_control(timeout, async move {
            coordinator
                .set_tail_set(&node, members, version, timeout)
                .await
        })?;
        self.node.topology.offer(view);
        Ok(())
    }

    /// A view after `version`; None when there is none within `timeout`.
    pub fn newer_view(&self, version: u64, timeout: Duration) -> Option<Arc<View>> {
        let node = Arc::clone(&self.node);
        let newer = self.on_control(timeout, async move {
            let came = node.topology.at_least(version + 1, timeout).await;
            Ok(came.then(|| node.topology.view()))
        });
        newer.ok().flatten()
    }

    /// Asks the coordinator for a view that is at least `version`; whether there was one within `timeout`.
    pub fn refresh(&self, version: u64, timeout: Duration) -> bool {
        let node = Arc::clone(&self.node);
        let refreshed = self.on_control(timeout, async move {
            Ok(node.refreshed(version, timeout).await.is_some())
        });
        refreshed.unwrap_or(false)
    }

    /// Runs `work` on the control thread; None when it takes longer than `timeout`.
    pub fn within<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.on_control(timeout, async move { Ok(work.await) }).ok()
    }

    /// Lets no more requests in, for ever, and waits for those inside; true when all were answered within `grace`.
    /// Streams, heartbeats and the role go on.
    pub fn quiesce(&self, grace: Duration) -> bool {
        self.node.admission.enter(Phase::Stopping);
        let (node, health) = (Arc::clone(&self.node), self.health.clone());
        let drained = self.on_control(grace + Duration::from_secs(1), async move {
            health.set(false).await;
            Ok(node.admission.drained(grace).await)
        });
        drained.unwrap_or(false)
    }

    /// The next event; None when there was none in `timeout`.
    pub fn wait(&self, timeout: Duration) -> Option<Event> {
        let events = self
            .events
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        events.recv_timeout(timeout).ok()
    }

    /// See [`super::lease::Lease::archived`].
    pub fn archived(&self, epoch: u64, sent_ns: u64) {
        self.node.lease.archived(epoch, sent_ns);
    }

    /// Of the newest evidence of ownership.
    pub fn evidence_age_ms(&self) -> u64 {
        self.node.lease.age_ms(boottime_ns())
    }

    /// None: a router has none.
    pub fn shard(&self) -> Option<u32> {
        let identity = &self.node.identity;
        (identity.role != pb::Role::Router).then_some(identity.shard)
    }

    pub fn stats(&self) -> pb::GetStatsResponse {
        self.node.stats()
    }

    /// Slow and traced requests, the oldest of those that wait, `most` of them; and how many were dropped since the last
    /// call because too many waited.
    pub fn observed(&self, most: usize) -> (Vec<Observed>, u64) {
        self.node.tallies.watch().take(most)
    }

    /// Ends the program; true when every request inside was answered within `grace`. Idempotent.
    pub fn stop(&self, grace: Duration) -> bool {
        let mut running = self.running();
        if running.stopped {
            return true;
        }
        running.stopped = true;
        let end = Instant::now() + grace;
        let left = || end.saturating_duration_since(Instant::now());
        let drained = self.quiesce(grace);
        if let Some(beating) = running.heartbeat.take() {
            beating.abort();
            let patience =
                call_timeout(Duration::from_secs(4)).min(left().max(Duration::from_millis(200)));
            let (node, coordinator) = (Arc::clone(&self.node), self.coordinator.clone());
            // A coordinator that is down learns of the end by the missing heartbeats.
            let _ = self.on_control(
                patience,
                async move { coordinator.leave(&node, patience).await },
            );
        }
        self.node.stop();
        // Only streams are left, and they end by themselves: except to a client that does not read.
        let patience = left().clamp(Duration::from_millis(200), Duration::from_secs(1));
        let threads = std::mem::take(&mut running.threads);
        let until = Instant::now() + patience;
        while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        self.abort.send_replace(true);
        for thread in threads {
            let _ = thread.join();
        }
        self.role.stop();
        drained
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Runs `work` on the control thread and waits for it.
    fn on_control<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        let (sender, receiver) = mpsc::channel();
        self.control.spawn(async move {
            let _ = sender.send(work.await);
        });
        receiver
            .recv_timeout(timeout + Duration::from_millis(500))
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// One serving thread.
struct Serving {
    node: Arc<Node>,
    role: Arc<dyn Role>,
    health: Health,
    security: Option<Arc<Security>>,
    abort: watch::Receiver<bool>,
}

impl Serving {
    fn run(self, runtime: Runtime, listener: TcpListener) {
        let node = Arc::clone(&self.node);
        if let Err(reason) = runtime.block_on(self.serve(listener)) {
            node.tell(Event::Failed { reason });
        }
        runtime.shutdown_timeout(Duration::from_secs(1));
    }

    async fn serve(mut self, listener: TcpListener) -> Result<(), String> {
        let listener =
            tokio::net::TcpListener::from_std(listener).map_err(|error| error.to_string())?;
        let incoming = Incoming::new(listener, Arc::clone(&self.node.connections));
        let limited = Limited {
            admission: Arc::clone(&self.node.admission),
            calls: Arc::clone(&self.node.places.calls),
        };
        let count = CountLayer {
            tally: self.node.tallies.tally(),
        };
        let (routes, handler) = self.routes()?;
        let unary = UnaryLayer {
            handler,
            message_bytes: self.node.limits.message_bytes(),
        };
        let stopping = {
            let node = Arc::clone(&self.node);
            async move { node.stopping().await }
        };
        let security = self.security.take();
        let node = Arc::clone(&self.node);
        let serving = async move {
            let limits = stack::server(self.node.limits.patience)
                .layer(count)
                .layer(limited);
            match security {
                None => {
                    limits
                        .layer(unary)
                        .add_routes(routes)
                        .serve_with_incoming_shutdown(incoming.plain(), stopping)
                        .await
                }
                Some(security) => {
                    let credentials = Arc::clone(&security.credentials);
                    let tell = move |message| node.tell(Event::Notice { message });
                    let refusals = Arc::new(Refusals::new(tell));
                    let secured = secured(incoming, credentials, refusals);
                    limits
                        .layer(GuardLayer { security })
                        .layer(unary)
                        .add_routes(routes)
                        .serve_with_incoming_shutdown(secured, stopping)
                        .await
                }
            }
        };
        tokio::select! {
            served = serving => served.map_err(|error| format!("the server ended: {error}")),
            _ = self.abort.wait_for(|aborted| *aborted) => Ok(()),
        }
    }

    fn routes(&self) -> Result<(Routes, Arc<dyn Unary>), String> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let reflection_v1 = reflection().build_v1().map_err(|error| error.to_string())?;
        let reflection_v1alpha = reflection()
            .build_v1alpha()
            .map_err(|error| error.to_string())?;
        let mut routes = RoutesBuilder::default();
        routes
            .add_service(self.health.service())
            .add_service(reflection_v1)
            .add_service(reflection_v1alpha)
            .add_service(DiscoveryServer::new(DiscoveryService {
                node: Arc::clone(&self.node),
            }))
            .add_service(NodeServer::new(NodeService {
                node: Arc::clone(&self.node),
                role: Arc::clone(&self.role),
            }));
        let handler = Arc::clone(&self.role).routes(&self.node, &mut routes);
        Ok((routes.routes(), handler))
    }
}

/// The plain port for probes: it answers health checks and nothing else.
async fn serve_health(health: Health, listener: Option<TcpListener>, patience: Duration) {
    let Some(Ok(listener)) = listener.map(tokio::net::TcpListener::from_std) else {
        return;
    };
    let connections = Arc::new(Connections::new(PROBES, patience));
    // It ends with the control thread; an error of it is what probes see.
    let _ = stack::server(patience)
        .max_concurrent_streams(Some(64))
        .add_service(health.service())
        .serve_with_incoming(Incoming::new(listener, connections).plain())
        .await;
}

async fn node_end(node: Arc<Node>, mut abort: watch::Receiver<bool>) {
    tokio::select! {
        () = node.stopping() => {}
        _ = abort.wait_for(|aborted| *aborted) => {}
    }
}

fn runtime() -> Result<Runtime, StartError> {
    stack::runtime().map_err(StartError::Thread)
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    thread::Builder::new()
        .name(name)
        .spawn(work)
        .map_err(StartError::Thread)
}
