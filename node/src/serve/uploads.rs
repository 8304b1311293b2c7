//! Requests on their way in. A message is put together in memory before anybody can look at it, so its bytes count
//! against the limits of admission from the first one on; and a client that does not finish what it began owes it (see
//! `connection`).
//!
//! The framing of gRPC: one byte of flags, four of length, the message; on, until the stream ends. What is held of a
//! unary request is all of it, because its handler begins when the stream has ended; of a stream it is the message that
//! is incomplete: the ones before it are with their handler, and admitted there.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

use super::admission::{Admission, Inside};
use super::connection::{Connection, Owed};

const HEADER: usize = 5;
/// Methods whose clients may be silent between two messages.
const STREAMS: [&str; 3] = ["/Pipeline", "/Subscribe", "/ServerReflectionInfo"];

/// How much is there of the message that is incomplete.
#[derive(Debug, Default, PartialEq, Eq)]
struct Framing {
    header: [u8; HEADER],
    /// With the header's.
    came: usize,
}

impl Framing {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.came < HEADER {
                let part = bytes.len().min(HEADER - self.came);
                self.header[self.came..self.came + part].copy_from_slice(&bytes[..part]);
                self.came += part;
                bytes = &bytes[part..];
            }
            if self.came >= HEADER {
                let [_, length @ ..] = self.header;
                let whole = HEADER + u32::from_be_bytes(length) as usize;
                let part = bytes.len().min(whole - self.came);
                self.came += part;
                bytes = &bytes[part..];
                if self.came == whole {
                    self.came = 0;
                }
            }
        }
    }
}

/// The body of a request.
pub struct Upload {
    body: Body,
    connection: Option<Arc<Connection>>,
    admission: Arc<Admission>,
    /// Of a stream; None = unary.
    framing: Option<Framing>,
    /// Bytes of a unary request.
    came: usize,
    held: Option<Inside>,
    owed: Option<Owed>,
}

impl Upload {
    pub fn new(
        body: Body,
        method: &str,
        admission: &Arc<Admission>,
        connection: Option<Arc<Connection>>,
    ) -> Self {
        let streams = STREAMS.iter().any(|name| method.ends_with(name));
        Self {
            body,
            connection,
            admission: Arc::clone(admission),
            framing: streams.then(Framing::default),
            came: 0,
            held: None,
            owed: None,
        }
    }

    /// Bytes came: those of what is incomplete count.
    fn count(&mut self, data: &[u8]) -> Result<(), Status> {
        let incomplete = match &mut self.framing {
            Some(framing) => {
                framing.take(data);
                framing.came
            }
            None => {
                self.came += data.len();
                self.came
            }
        };
        if incomplete == 0 || self.body.is_end_stream() {
            self.held = None;
            return Ok(());
        }
        let peer: Option<SocketAddr> = self.connection.as_ref().map(|connection| connection.peer);
        let admission = &self.admission;
        self.held
            .get_or_insert_with(|| admission.held(peer))
            .grow(incomplete)
    }

    fn waits_for_the_client(&self) -> bool {
        self.framing.as_ref().is_none_or(|framing| framing.came > 0)
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let me = &mut *self;
        let polled = Pin::new(&mut me.body).poll_frame(cx);
        if polled.is_pending() {
            if me.owed.is_none() && me.waits_for_the_client() {
                me.owed = me.connection.as_ref().map(Connection::owes);
            }
            return Poll::Pending;
        }
        me.owed = None;
        let frame = ready!(polled);
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(refused) = me.count(data)
        {
            return Poll::Ready(Some(Err(refused)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend((length as u32).to_be_bytes());
        bytes.resize(HEADER + length, b'x');
        bytes
    }

    #[test]
    fn only_what_is_incomplete_counts_however_it_is_cut() {
        let bytes: Vec<u8> = [message(0), message(7), message(300)].concat();
        for step in [1, 2, 4, 5, 6, 11, bytes.len()] {
            let mut framing = Framing::default();
            let mut most = 0;
            for part in bytes.chunks(step) {
                framing.take(part);
                most = most.max(framing.came);
            }
            assert_eq!(framing.came, 0, "in steps of {step}");
            assert!(most < HEADER + 300);
        }
        let mut framing = Framing::default();
        framing.take(&message(300)[..250]);
        assert_eq!(framing.came, 250);
    }

    #[test]
    fn a_giant_length_is_only_a_number() {
        let mut framing = Framing::default();
        framing.take(&[1, 0xff, 0xff, 0xff, 0xff, 9]);
        assert_eq!(framing.came, HEADER + 1);
    }
}
