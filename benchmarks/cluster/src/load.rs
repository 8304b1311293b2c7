//! Streams of operations, each by threads, connections and a pace of its own, until they are stopped.
//!
//! Closed: so many operations are in flight at any time. Open: operations come by a schedule, whatever the server does;
//! beyond the bound on those in flight they wait here, and the wait counts in their latency.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aidb_client::pb::ServedBy;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::keys::Keys;
use crate::pacer::Pacer;
use crate::record::{Recorder, Tally};
use crate::schedule::Schedule;
use crate::target::{Connection, Failure, TIMEOUT, Wire};
use crate::work::Work;

#[derive(Clone, Copy, Debug)]
pub enum Pace {
    Closed,
    Open { per_second: f64 },
}

/// What a client does that is told to come back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnBusy {
    /// The operation has failed; the next one is sent at once.
    Ignore,
    /// It is sent again after the time named, until its timeout.
    Obey,
}

#[derive(Clone, Debug)]
pub struct Stream {
    pub wire: Wire,
    pub address: String,
    pub work: Work,
    pub keys: Keys,
    pub pace: Pace,
    pub threads: usize,
    pub connections: usize,
    /// Operations at a time, of all threads.
    pub in_flight: usize,
    pub on_busy: OnBusy,
    /// Who should answer; another's answer counts as a failure.
    pub expected: Option<ServedBy>,
    pub seed: u64,
}

impl Stream {
    /// Closed, by one thread.
    pub fn closed(wire: Wire, address: &str, work: Work, keys: &Keys) -> Self {
        Self {
            wire,
            address: address.to_owned(),
            work,
            keys: keys.clone(),
            pace: Pace::Closed,
            threads: 1,
            connections: 2,
            in_flight: 128,
            on_busy: OnBusy::Ignore,
            expected: None,
            seed: 1,
        }
    }
}

/// What is due within this is sent together: with a timer for each, an open loop costs several times what a closed one
/// does, and what it holds back counts in the latencies all the same.
const TICK: Duration = Duration::from_micros(100);

/// A stream at work.
pub struct Running {
    recorders: Vec<Arc<Recorder>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), Failure>>>,
}

impl Running {
    /// Returns when every connection stands.
    pub fn start(stream: &Stream) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = Self {
            recorders: Vec::new(),
            stop: Arc::clone(&stop),
            threads: Vec::new(),
        };
        let (ready, opened) = mpsc::channel();
        for index in 0..stream.threads {
            let recorder = Arc::new(Recorder::default());
            running.recorders.push(Arc::clone(&recorder));
            let stream = part(stream, index);
            let (stop, ready) = (Arc::clone(&stop), ready.clone());
            running.threads.push(std::thread::spawn(move || {
                thread(stream, recorder, stop, &ready)
            }));
        }
        drop(ready);
        for _ in 0..stream.threads {
            if opened.recv().is_err() {
                running.stop()?;
                return Err(Failure::named("a thread of the generator ended early"));
            }
        }
        Ok(running)
    }

    /// What was done since the last time.
    pub fn take(&self) -> Tally {
        let mut all = Tally::default();
        for recorder in &self.recorders {
            all.add(&recorder.take());
        }
        all
    }

    /// Ends it; operations in flight are answered first.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread
                .join()
                .map_err(|_| Failure::named("a thread of the generator panicked"))??;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The share of one thread.
fn part(stream: &Stream, index: usize) -> Stream {
    let share =
        |all: usize| (all / stream.threads + usize::from(index < all % stream.threads)).max(1);
    let pace = match stream.pace {
        Pace::Closed => Pace::Closed,
        Pace::Open { per_second } => Pace::Open {
            per_second: per_second / stream.threads as f64,
        },
    };
    Stream {
        pace,
        connections: share(stream.connections),
        in_flight: share(stream.in_flight),
        seed: stream.seed + index as u64,
        ..stream.clone()
    }
}

fn thread(
    stream: Stream,
    recorder: Arc<Recorder>,
    stop: Arc<AtomicBool>,
    ready: &mpsc::Sender<()>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::named(format!("no runtime: {error}")))?;
    LocalSet::new().block_on(&runtime, async {
        let mut connections = Vec::new();
        for _ in 0..stream.connections {
            connections
                .push(Connection::open(stream.wire, &stream.address, stream.expected).await?);
        }
        let _ = ready.send(());
        let pace = stream.pace;
        let client = Rc::new(Client {
            random: RefCell::new(fastrand::Rng::with_seed(stream.seed)),
            stream,
            connections,
            turn: Cell::new(0),
            recorder,
            stop,
            inside: Cell::new(0),
            left: Notify::new(),
        });
        match pace {
            Pace::Closed => client.closed().await,
            Pace::Open { per_second } => client.open(per_second).await?,
        }
        Ok(())
    })
}

struct Client {
    stream: Stream,
    connections: Vec<Connection>,
    turn: Cell<usize>,
    random: RefCell<fastrand::Rng>,
    recorder: Arc<Recorder>,
    stop: Arc<AtomicBool>,
    inside: Cell<usize>,
    left: Notify,
}

impl Client {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn closed(self: Rc<Self>) {
        let workers: Vec<_> = (0..self.stream.in_flight)
            .map(|index| {
                let client = Rc::clone(&self);
                tokio::task::spawn_local(async move {
                    while !client.stopped() {
                        client.one(index, Instant::now()).await;
                    }
                })
            })
            .collect();
        for worker in workers {
            let _ = worker.await;
        }
    }

    async fn open(self: Rc<Self>, per_second: f64) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::named(format!("no timer: {error}"));
        let pacer = Pacer::new().map_err(failed)?;
        let schedule = Schedule::new(Instant::now(), per_second);
        let mut sent = 0;
        while !self.stopped() {
            while sent < schedule.arrived(Instant::now()) {
                if self.inside.get() >= self.stream.in_flight {
                    self.left.notified().await;
                    if self.stopped() {
                        break;
                    }
                    continue;
                }
                self.inside.set(self.inside.get() + 1);
                let client = Rc::clone(&self);
                let due = schedule.due(sent);
                sent += 1;
                tokio::task::spawn_local(async move {
                    client.one(client.next(), due).await;
                    client.inside.set(client.inside.get() - 1);
                    client.left.notify_one();
                });
            }
            if self.stopped() {
                break;
            }
            let due = schedule.due(sent).max(Instant::now() + TICK);
            pacer.until(due).await.map_err(failed)?;
        }
        for _ in sent..schedule.arrived(Instant::now()) {
            self.recorder.failed("NEVER_SENT");
        }
        while self.inside.get() > 0 {
            self.left.notified().await;
        }
        Ok(())
    }

    fn next(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// One operation that was due at `due`, by the `index`-th connection.
    async fn one(&self, index: usize, due: Instant) {
        let Stream { work, keys, .. } = &self.stream;
        let number = self.random.borrow_mut().u64(0..keys.count());
        let connection = &self.connections[index % self.connections.len()];
        loop {
            let asked = tokio::time::timeout(TIMEOUT, connection.ask(*work, keys, number)).await;
            match asked {
                Ok(Ok(())) => return self.recorder.done(work.keys(), due.elapsed()),
                Ok(Err(failure)) => {
                    self.recorder.failed(&failure.name);
                    let obeyed = failure
                        .retry_after
                        .filter(|_| self.stream.on_busy == OnBusy::Obey);
                    let Some(wait) = obeyed else {
                        // What fails at once would spin.
                        return tokio::task::yield_now().await;
                    };
                    let jitter = self.random.borrow_mut().f64();
                    tokio::time::sleep(wait.mul_f64(0.5 + jitter)).await;
                }
                Err(_) => return self.recorder.failed("TIMEOUT"),
            }
            if self.stopped() || due.elapsed() > TIMEOUT {
                return;
            }
        }
    }
}

/// Writes every key once, in order: batches where the wire has them.
pub fn fill(wire: Wire, address: &str, keys: &Keys) -> Result<(), Failure> {
    each(wire, address, keys, |batch| match wire {
        Wire::Etcd => Work::Put,
        _ => Work::BatchPut(batch),
    })
}

/// Reads every key once, in order.
pub fn read_through(wire: Wire, address: &str, keys: &Keys) -> Result<(), Failure> {
    each(wire, address, keys, Work::BatchGet)
}

fn each(wire: Wire, address: &str, keys: &Keys, work: impl Fn(u64) -> Work) -> Result<(), Failure> {
    const BATCH: u64 = 100;
    const AT_A_TIME: u64 = 64;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::named(format!("no runtime: {error}")))?;
    LocalSet::new().block_on(&runtime, async {
        let connection = Rc::new(Connection::open(wire, address, None).await?);
        let work = work(BATCH);
        let next = Rc::new(Cell::new(0));
        let mut workers = Vec::new();
        for _ in 0..AT_A_TIME {
            let (connection, keys, next) = (Rc::clone(&connection), keys.clone(), Rc::clone(&next));
            workers.push(tokio::task::spawn_local(async move {
                while next.get() < keys.count() {
                    let number = next.get();
                    next.set(number + work.keys());
                    connection.ask(work, &keys, number).await?;
                }
                Ok::<(), Failure>(())
            }));
        }
        for worker in workers {
            worker
                .await
                .map_err(|error| Failure::named(error.to_string()))??;
        }
        Ok(())
    })
}

/// How long streams run before they count, and how long they count.
#[derive(Clone, Copy, Debug)]
pub struct Spans {
    pub warm_up: Duration,
    pub counted: Duration,
}
