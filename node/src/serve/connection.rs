//! A client's connection: how many there may be, and how long one may keep the server waiting.
//!
//! Every `patience` a connection is looked at; it is closed when the client owes something that it owed at the look
//! before: the greeting (the preface of HTTP/2), the rest of a request, or that it takes an answer's next piece. A client
//! that does none of these for so long is broken or means harm, and its requests are repeated by whoever still wants
//! them. Peers that have vanished are found by HTTP/2 pings, which a client that merely keeps its window shut answers.
//! (Ending only the stream at fault was rejected: once the last piece of an answer is with h2, nothing of ours can reset
//! its stream any more. A timer for each request was rejected because every request would pay for it.)

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use aidb_client::pb;
use aidb_client::tls::Program;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Extensions;
use tonic::transport::server::Connected;

/// The client's preface of HTTP/2 has so many bytes.
const GREETING: usize = 24;

/// All connections of a program.
pub struct Connections {
    most: usize,
    patience: Duration,
    open: AtomicUsize,
    refused: AtomicU64,
    overdue: AtomicU64,
}

impl Connections {
    pub fn new(most: usize, patience: Duration) -> Self {
        Self {
            most,
            patience,
            open: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            overdue: AtomicU64::new(0),
        }
    }

    /// Lets one in; None when there are as many as there may be.
    pub fn enter(self: &Arc<Self>, peer: SocketAddr) -> Option<Arc<Connection>> {
        let connection = Connection {
            connections: Arc::clone(self),
            peer,
            program: OnceLock::new(),
            owed: Default::default(),
            look: AtomicUsize::new(0),
        };
        // Counted before it is compared, and counted off by the drop.
        if self.open.fetch_add(1, Ordering::Relaxed) < self.most {
            return Some(Arc::new(connection));
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    pub fn stats(&self) -> pb::ConnectionStats {
        pb::ConnectionStats {
            open: self.open.load(Ordering::Relaxed) as u64,
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
    /// What the client owes since before the last look, and since: by the parity of the look at which it began.
    owed: [AtomicUsize; 2],
    look: AtomicUsize,
}

impl Connection {
    /// By which a request came.
    pub fn of(extensions: &Extensions) -> Option<&Arc<Self>> {
        extensions.get()
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
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
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
    look: Pin<Box<Sleep>>,
}

impl<IO> Watched<IO> {
    pub fn new(io: IO, connection: Arc<Connection>) -> Self {
        Self {
            io,
            greeting: GREETING,
            greets: Some(connection.owes()),
            look: Box::pin(sleep(connection.connections.patience)),
            connection,
        }
    }

    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
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

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.look(cx)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
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
    fn connections_beyond_the_limit_are_refused_until_one_ends() {
        let connections = connections(2);
        let mut held = vec![connections.enter(peer()), connections.enter(peer())];
        assert!(held.iter().all(Option::is_some) && connections.enter(peer()).is_none());
        held.pop();
        assert!(connections.enter(peer()).is_some());
        let stats = connections.stats();
        assert_eq!((stats.open, stats.refused), (1, 1));
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
