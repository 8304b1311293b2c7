//! A client's connection: how many there may be, and how long one may keep the server waiting.
//!
//! Every `patience` a connection is looked at; it is closed when the client owes something that it owed at the look
//! before: the greeting (the preface of HTTP/2), the rest of a request, or that it takes an answer's next piece. A client
//! that does none of these for so long is broken or means harm, and its requests are repeated by whoever still wants
//! them. Peers that have vanished are found by HTTP/2 pings, which a client that merely keeps its window shut answers.
//! (Ending only the stream at fault was rejected: once the last piece of an answer is with h2, nothing of ours can reset
//! its stream any more. A timer for each request was rejected because every request would pay for it.)
//!
//! When all places are taken, the oldest connection that has made no call gives its place to the newcomer: so a flood of
//! connections that say nothing keeps nobody out, neither clients nor the other programs of the cluster, whose first
//! calls come at once. One that has made a call is never closed for another's sake: it may be in use, and a write on it
//! would end with an unknown outcome. (Places reserved for programs were rejected: without TLS nobody can prove to be
//! one, and behind a proxy or on one machine all have one address.)

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aidb_client::pb;
use aidb_client::tls::Program;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Extensions;
use tonic::transport::server::Connected;

use super::ahead;
use super::committing::{HeldBack, Own, pass_on};

/// The client's preface of HTTP/2 has so many bytes.
const GREETING: usize = 24;

/// h2 sends what there is to send when there is nothing to read, and tokio stops a task that always has something to read
/// after 128 reads, and then stops its writes as well: a client that sends without end would never be answered. So after
/// so many reads (of 8 to 16 KiB) a connection is said to have nothing for a moment.
const READS: u32 = 16;

/// All connections of a program.
pub struct Connections {
    most: usize,
    patience: Duration,
    places: Mutex<Taken>,
    refused: AtomicU64,
    overdue: AtomicU64,
}

#[derive(Default)]
struct Taken {
    open: usize,
    /// Of those inside: by age, those that have made no call, and how each is told to go.
    silent: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

impl Connections {
    pub fn new(most: usize, patience: Duration) -> Self {
        Self {
            most,
            patience,
            places: Mutex::default(),
            refused: AtomicU64::new(0),
            overdue: AtomicU64::new(0),
        }
    }

    /// Lets one in; None when there are as many as there may be, and all of them have made calls.
    pub fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<Arc<Connection>> {
        let mut places = self.lock();
        if places.open < self.most {
            places.open += 1;
        } else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let (_, go) = places.silent.pop_first()?;
            go.notify_one();
        }
        let number = places.next;
        places.next += 1;
        let go = Arc::new(Notify::new());
        places.silent.insert(number, Arc::clone(&go));
        Some(Arc::new(Connection {
            connections: Arc::clone(self),
            peer,
            program: OnceLock::new(),
            number,
            called: AtomicBool::new(false),
            go,
            owed: Default::default(),
            look: AtomicUsize::new(0),
            committing: Own::default(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn stats(&self) -> pb::ConnectionStats {
        pb::ConnectionStats {
            open: self.lock().open as u64,
            most: self.most as u64,
            refused: self.refused.load(Ordering::Relaxed),
            overdue: self.overdue.load(Ordering::Relaxed),
        }
    }
}

/// What is known of one; every request of it carries it.
pub struct Connection {
    connections: Arc<Connections>,
    pub peer: SocketAddr,
    /// Which program of the cluster the peer has proved to be, where security is on; unset: a client.
    pub program: OnceLock<Program>,
    number: u64,
    /// It will not give way any more.
    called: AtomicBool,
    go: Arc<Notify>,
    /// What the client owes since before the last look, and since: by the parity of the look at which it began.
    owed: [AtomicUsize; 2],
    look: AtomicUsize,
    pub committing: Own,
}

impl Connection {
    /// By which a request came.
    pub fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get()
    }

    /// A call came by it.
    pub fn calls(&self) {
        if !self.called.load(Ordering::Relaxed)
            && self
                .connections
                .lock()
                .silent
                .remove(&self.number)
                .is_some()
        {
            self.called.store(true, Ordering::Relaxed);
        }
    }

    /// Resolves when it has to give way.
    pub async fn told_to_go(&self) {
        self.go.notified().await;
    }

    /// The client owes something until the answer is dropped.
    pub fn owes(self: &Arc<Self>) -> Owed {
        let at = self.look.load(Ordering::Relaxed) % 2;
        self.owed[at].fetch_add(1, Ordering::Relaxed);
        Owed {
            connection: Arc::clone(self),
            at,
        }
    }

    /// True when something was owed at the last look already.
    fn overdue(&self) -> bool {
        let next = self.look.load(Ordering::Relaxed).wrapping_add(1);
        if self.owed[next % 2].load(Ordering::Relaxed) > 0 {
            self.connections.overdue.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        self.look.store(next, Ordering::Relaxed);
        false
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut places = self.connections.lock();
        // Who gave way has given its place as well.
        if places.silent.remove(&self.number).is_some() || self.called.load(Ordering::Relaxed) {
            places.open -= 1;
        }
    }
}

pub struct Owed {
    connection: Arc<Connection>,
    at: usize,
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.connection.owed[self.at].fetch_sub(1, Ordering::Relaxed);
    }
}

/// The transport of a connection; fails when the client owes for too long.
pub struct Watched<IO> {
    io: IO,
    connection: Arc<Connection>,
    /// Bytes of the greeting that have not come.
    greeting: usize,
    greets: Option<Owed>,
    /// In a row.
    reads: u32,
    /// Until it has made a call.
    told_to_go: Option<Pin<Box<OwnedNotified>>>,
    look: Pin<Box<Sleep>>,
    held_back: HeldBack,
}

impl<IO> Watched<IO> {
    pub fn new(io: IO, connection: Arc<Connection>) -> Self {
        Self {
            io,
            greeting: GREETING,
            reads: 0,
            greets: Some(connection.owes()),
            told_to_go: Some(Box::pin(Arc::clone(&connection.go).notified_owned())),
            held_back: HeldBack::default(),
            look: Box::pin(sleep(connection.connections.patience)),
            connection,
        }
    }

    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.connection.called.load(Ordering::Relaxed) {
            self.told_to_go = None;
        }
        if let Some(told_to_go) = &mut self.told_to_go
            && told_to_go.as_mut().poll(cx).is_ready()
        {
            let why = "this connection has made no call and gives its place to another";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
        }
        while self.look.as_mut().poll(cx).is_ready() {
            if self.connection.overdue() {
                let why = "the client has kept this connection waiting for too long";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            let next = Instant::now() + self.connection.connections.patience;
            self.look.as_mut().reset(next);
        }
        Ok(())
    }
}

impl<IO> Drop for Watched<IO> {
    fn drop(&mut self) {
        self.connection.committing.ends();
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.look(cx)?;
        if self.reads == READS {
            pass_on();
        }
        if self.reads == READS || ahead::enough() {
            self.reads = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let me = &mut *self;
        if !me.held_back.may_read(&me.connection, cx) {
            me.reads = 0;
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if read.is_ready() {
            self.reads += 1;
        } else {
            self.reads = 0;
            pass_on();
        }
        if self.greets.is_some() {
            let came = buffer.filled().len() - before;
            self.greeting = self.greeting.saturating_sub(came);
            if self.greeting == 0 {
                self.greets = None;
            }
        }
        read
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look(cx)?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look(cx)?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<IO> Connected for Watched<IO> {
    type ConnectInfo = Arc<Connection>;

    fn connect_info(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn peer() -> SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }

    fn connections(most: usize) -> Arc<Connections> {
        Arc::new(Connections::new(most, Duration::from_millis(10)))
    }

    #[test]
    fn connections_beyond_the_limit_are_refused_until_one_that_calls_ends() {
        let connections = connections(2);
        let mut held = vec![connections.enter(peer()), connections.enter(peer())];
        held.iter().flatten().for_each(|each| each.calls());
        assert!(connections.enter(peer()).is_none());
        held.pop();
        assert!(connections.enter(peer()).is_some());
        let stats = connections.stats();
        assert_eq!((stats.open, stats.refused), (1, 1));
    }

    #[tokio::test]
    async fn the_oldest_that_has_made_no_call_gives_way() {
        let connections = connections(3);
        let caller = connections.enter(peer()).unwrap();
        caller.calls();
        let (ours, _theirs) = duplex(64);
        let mut oldest = Watched::new(ours, connections.enter(peer()).unwrap());
        let younger = connections.enter(peer()).unwrap();
        let newcomer = connections.enter(peer()).unwrap();
        let failed = oldest.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(
            (connections.stats().open, connections.stats().refused),
            (3, 1)
        );
        drop(oldest);
        assert_eq!(connections.stats().open, 3, "its place is the newcomer's");
        younger.calls();
        newcomer.calls();
        assert!(connections.enter(peer()).is_none());
        drop((caller, younger, newcomer));
        assert_eq!(connections.stats().open, 0);
    }

    #[test]
    fn what_was_owed_at_the_last_look_already_is_overdue() {
        let connections = connections(1);
        let connection = connections.enter(peer()).unwrap();
        for _ in 0..5 {
            drop(connection.owes());
            assert!(!connection.overdue());
        }
        let mut paid = Vec::new();
        for _ in 0..5 {
            paid = vec![connection.owes(), connection.owes()];
            assert!(!connection.overdue());
        }
        let _owed = connection.owes();
        drop(paid);
        assert!(!connection.overdue(), "it was not owed at the last look");
        let _more = connection.owes();
        assert!(connection.overdue());
        assert_eq!(connections.stats().overdue, 1);
    }

    #[tokio::test]
    async fn who_does_not_greet_is_closed_and_who_does_may_be_silent() {
        let connections = connections(2);
        let (ours, mut theirs) = duplex(64);
        let mut watched = Watched::new(ours, connections.enter(peer()).unwrap());
        theirs.write_all(&[b'x'; GREETING - 1]).await.unwrap();
        let failed = watched.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);

        let (ours, mut theirs) = duplex(64);
        let mut watched = Watched::new(ours, connections.enter(peer()).unwrap());
        let connection = Arc::clone(&watched.connection);
        theirs.write_all(&[b'x'; GREETING]).await.unwrap();
        let silent = tokio::spawn(async move { watched.read_to_end(&mut Vec::new()).await });
        while connection.look.load(Ordering::Relaxed) < 5 {
            tokio::task::yield_now().await;
        }
        drop(theirs);
        assert!(silent.await.unwrap().is_ok());
    }
}
