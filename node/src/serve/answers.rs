//! Answers on their way out: a request goes on counting against the limits of admission until the kernel has taken the
//! last byte of its answer. Without that, clients that ask and do not read would be given memory without end.
//!
//! How: what a handler was admitted with is collected when the handler drops it, and travels on inside the very bytes of
//! the answer (`Bytes::from_owner`), which h2 drops once they are written, or when the stream or its connection ends.
//! (To hold it until the body of the answer ends was rejected: h2 takes a whole answer from the body as soon as the
//! client's window has one byte.) Answers go out in pieces, so that a slow client shows progress (see `connection`).

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::admission::{Admission, Inside};
use super::connection::{Connection, Owed};
use super::uploads::Upload;

const PIECE: usize = 256 << 10;

/// What was admitted for one answer. Most have one request.
#[derive(Default)]
pub struct Parcel {
    first: Option<Inside>,
    more: Vec<Inside>,
}

impl Parcel {
    fn push(&mut self, inside: Inside) {
        match self.first {
            None => self.first = Some(inside),
            Some(_) => self.more.push(inside),
        }
    }

    /// Travels on with what is being collected.
    pub fn forward(self) {
        self.first.into_iter().chain(self.more).for_each(hold);
    }
}

thread_local! {
    /// Of the future or body that is being polled; None = nobody collects.
    static COLLECTED: RefCell<Option<Parcel>> = const { RefCell::new(None) };
}

/// Keeps `inside` until the answer under way has left; without one it ends here.
pub fn hold(inside: Inside) {
    COLLECTED.with_borrow_mut(|collected| {
        if let Some(parcel) = collected {
            parcel.push(inside);
        }
    });
}

/// The messages of a stream, each with what it holds until it has left.
pub fn carried<T>(
    messages: mpsc::Receiver<Result<(T, Inside), Status>>,
) -> impl Stream<Item = Result<T, Status>> {
    ReceiverStream::new(messages).map(|message| {
        let (message, inside) = message?;
        hold(inside);
        Ok(message)
    })
}

/// Polls with `parcel` as what collects.
fn collect<T>(parcel: &mut Parcel, poll: impl FnOnce() -> T) -> T {
    /// Puts back what collected before, also when the poll panics.
    struct Restore<'a>(&'a mut Parcel, Option<Parcel>);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            *self.0 = COLLECTED.replace(self.1.take()).unwrap_or_default();
        }
    }
    let before = COLLECTED.replace(Some(std::mem::take(parcel)));
    let _restore = Restore(parcel, before);
    poll()
}

/// A future with what was admitted in it.
pub struct Collecting<F> {
    future: Pin<Box<F>>,
    parcel: Parcel,
}

impl<F> Collecting<F> {
    pub fn new(future: F) -> Self {
        Self {
            future: Box::pin(future),
            parcel: Parcel::default(),
        }
    }
}

impl<F: Future> Future for Collecting<F> {
    type Output = (F::Output, Parcel);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { future, parcel } = &mut *self;
        let output = ready!(collect(parcel, || future.as_mut().poll(cx)));
        Poll::Ready((output, std::mem::take(parcel)))
    }
}

/// Puts requests and answers of every service under the limits.
#[derive(Clone)]
pub struct Limited {
    pub admission: Arc<Admission>,
}

impl<S> Layer<S> for Limited {
    type Service = LimitedService<S>;

    fn layer(&self, inner: S) -> LimitedService<S> {
        LimitedService {
            admission: Arc::clone(&self.admission),
            inner,
        }
    }
}

#[derive(Clone)]
pub struct LimitedService<S> {
    admission: Arc<Admission>,
    inner: S,
}

impl<S> Service<http::Request<Body>> for LimitedService<S>
where
    S: Service<http::Request<Upload>, Response = http::Response<Body>>,
{
    type Response = http::Response<Answer>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let connection = Connection::of(request.extensions()).cloned();
        let (parts, body) = request.into_parts();
        let upload = Upload::new(body, parts.uri.path(), &self.admission, connection.clone());
        Answering {
            collecting: Collecting::new(self.inner.call(http::Request::from_parts(parts, upload))),
            connection,
        }
    }
}

pub struct Answering<F> {
    collecting: Collecting<F>,
    connection: Option<Arc<Connection>>,
}

impl<F, E> Future for Answering<F>
where
    F: Future<Output = Result<http::Response<Body>, E>>,
{
    type Output = Result<http::Response<Answer>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (answered, parcel) = ready!(Pin::new(&mut self.collecting).poll(cx));
        let connection = self.connection.take();
        Poll::Ready(answered.map(|response| {
            response.map(|body| Answer {
                body,
                connection,
                parcel,
                rest: Bytes::new(),
            })
        }))
    }
}

/// The body of an answer.
pub struct Answer {
    body: Body,
    connection: Option<Arc<Connection>>,
    parcel: Parcel,
    /// What the body gave and was not passed on yet.
    rest: Bytes,
}

/// Bytes with h2, and what is held until they are with the kernel.
struct Piece {
    bytes: Bytes,
    _owed: Option<Owed>,
    _parcel: Option<Parcel>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let me = &mut *self;
        if me.rest.is_empty() {
            let body = Pin::new(&mut me.body);
            match ready!(collect(&mut me.parcel, || body.poll_frame(cx))) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => me.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let bytes = me.rest.split_to(me.rest.len().min(PIECE));
        let last = me.rest.is_empty();
        let piece = Bytes::from_owner(Piece {
            bytes,
            _owed: me.connection.as_ref().map(Connection::owes),
            _parcel: last.then(|| std::mem::take(&mut me.parcel)),
        });
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}
