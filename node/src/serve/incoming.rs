//! Connections as they are accepted. One beyond the limit is closed at once, so that what those inside cost stays
//! bounded; and when the process can open no more files, accepting pauses instead of spinning.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tokio_stream::{Stream, StreamExt};

use super::connection::{Connection, Connections, Watched};

const PAUSE: Duration = Duration::from_millis(50);

pub struct Incoming {
    listener: TcpListener,
    connections: Arc<Connections>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    pub fn new(listener: TcpListener, connections: Arc<Connections>) -> Self {
        Self {
            listener,
            connections,
            pause: None,
        }
    }

    /// As they are, for a port without TLS.
    pub fn plain(self) -> impl Stream<Item = io::Result<Watched<TcpStream>>> {
        self.map(|accepted| accepted.map(|(stream, connection)| Watched::new(stream, connection)))
    }
}

impl Stream for Incoming {
    type Item = io::Result<(TcpStream, Arc<Connection>)>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(cx)) {
                Ok((stream, peer)) => {
                    if let Some(connection) = self.connections.enter(peer) {
                        // A connection that is gone already is noticed when it is read.
                        let _ = stream.set_nodelay(true);
                        return Poll::Ready(Some(Ok((stream, connection))));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => self.pause = Some(Box::pin(sleep(PAUSE))),
            }
        }
    }
}
