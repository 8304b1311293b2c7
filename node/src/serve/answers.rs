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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::Frame;
use pin_project_lite::pin_project;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::admission::{Admission, Inside, busy};
use super::ahead::Unbegun;
use super::committing::Committing;
use super::connection::{Connection, Owed};
use super::places::{Place, Places};
use super::uploads::Upload;

const PIECE: usize = 256 << 10;
/// Methods whose handlers admit the request first of all.
const ADMITTED: [&str; 6] = [
    "/aidb.v1.Storage/Get",
    "/aidb.v1.Storage/Put",
    "/aidb.v1.Storage/Delete",
    "/aidb.v1.Storage/BatchGet",
    "/aidb.v1.Storage/BatchPut",
    "/aidb.v1.Storage/Scan",
];

/// What was admitted for one answer. Most have one request.
#[derive(Default)]
pub struct Parcel {
    first: Option<Inside>,
    more: Vec<Inside>,
    /// By which the request came, while its handler works.
    connection: Option<Arc<Connection>>,
    /// Messages of a stream that counts what it has not sent.
    unsent: Option<Riding>,
}

impl Parcel {
    fn by(connection: Option<Arc<Connection>>) -> Self {
        Self {
            connection,
            ..Self::default()
        }
    }

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

    fn ride(&mut self, unsent: &Arc<Unsent>) {
        unsent.messages.fetch_add(1, Ordering::Relaxed);
        let new = || Riding {
            unsent: Arc::clone(unsent),
            messages: 0,
        };
        self.unsent.get_or_insert_with(new).messages += 1;
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

/// The request that is being handled gives a batch of so many bytes to the committer.
pub fn committing(bytes: usize) -> Option<Committing> {
    let connection = COLLECTED.with_borrow(|collected| collected.as_ref()?.connection.clone());
    connection.map(|connection| Committing::new(connection, bytes))
}

/// Messages of one stream that the kernel has not taken, for a stream that begins no more than its client takes.
#[derive(Default)]
pub struct Unsent {
    messages: AtomicUsize,
    fewer: AtomicWaker,
}

impl Unsent {
    /// The message that is about to be given out counts until it has left.
    pub fn add(self: &Arc<Self>) {
        COLLECTED.with_borrow_mut(|collected| {
            if let Some(parcel) = collected {
                parcel.ride(self);
            }
        });
    }

    /// Whether there are fewer than `most`; if not, `cx` is woken when some have left.
    pub fn fewer_than(&self, most: usize, cx: &Context<'_>) -> bool {
        let fewer = || self.messages.load(Ordering::Relaxed) < most;
        fewer() || {
            self.fewer.register(cx.waker());
            // Another thread may have dropped them meanwhile: the end of a runtime.
            fewer()
        }
    }
}

/// Messages in one piece of an answer.
struct Riding {
    unsent: Arc<Unsent>,
    messages: usize,
}

impl Drop for Riding {
    fn drop(&mut self) {
        let messages = &self.unsent.messages;
        messages.fetch_sub(self.messages, Ordering::Relaxed);
        self.unsent.fewer.wake();
    }
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

pin_project! {
    #[project = CollectingParts]
    /// A future with what was admitted in it.
    pub struct Collecting<F> {
        #[pin]
        future: F,
        parcel: Parcel,
    }
}

impl<F> Collecting<F> {
    pub fn new(future: F) -> Self {
        Self {
            future,
            parcel: Parcel::default(),
        }
    }
}

impl<F: Future> Future for Collecting<F> {
    type Output = (F::Output, Parcel);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let CollectingParts { future, parcel } = self.project();
        let output = ready!(collect(parcel, || future.poll(cx)));
        parcel.connection = None;
        Poll::Ready((output, std::mem::take(parcel)))
    }
}

/// Puts requests and answers of every service under the limits.
#[derive(Clone)]
pub struct Limited {
    pub admission: Arc<Admission>,
    pub calls: Arc<Places>,
}

impl<S> Layer<S> for Limited {
    type Service = LimitedService<S>;

    fn layer(&self, inner: S) -> LimitedService<S> {
        LimitedService {
            limits: self.clone(),
            inner,
        }
    }
}

#[derive(Clone)]
pub struct LimitedService<S> {
    limits: Limited,
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
        let peer = connection.as_ref().map(|connection| connection.peer);
        if let Some(connection) = &connection {
            connection.calls();
        }
        let Some(place) = self.limits.calls.take(peer) else {
            return Answering::Refused {
                why: "this server has as many open calls as it may have",
            };
        };
        let admission = &self.limits.admission;
        if ADMITTED.contains(&request.uri().path()) && admission.full_for(peer) {
            return Answering::Refused {
                why: "this server is full, or crowded and this connection has its share of what is in flight",
            };
        }
        let (parts, body) = request.into_parts();
        let upload = Upload::new(body, parts.uri.path(), admission, connection.clone());
        Answering::Let {
            collecting: Collecting {
                future: self.inner.call(http::Request::from_parts(parts, upload)),
                parcel: Parcel::by(connection.clone()),
            },
            call: Some(Call {
                connection,
                _place: place,
            }),
            unbegun: Some(Unbegun::new()),
        }
    }
}

/// What a call has until it ends.
pub struct Call {
    connection: Option<Arc<Connection>>,
    _place: Place,
}

pin_project! {
    #[project = AnsweringParts]
    pub enum Answering<F> {
        Let {
            #[pin]
            collecting: Collecting<F>,
            call: Option<Call>,
            unbegun: Option<Unbegun>,
        },
        Refused {
            why: &'static str,
        },
    }
}

impl<F, E> Future for Answering<F>
where
    F: Future<Output = Result<http::Response<Body>, E>>,
{
    type Output = Result<http::Response<Answer>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (answered, parcel, call) = match self.project() {
            AnsweringParts::Let {
                collecting,
                call,
                unbegun,
            } => {
                unbegun.take();
                let (answered, parcel) = ready!(collecting.poll(cx));
                (answered, parcel, call.take())
            }
            AnsweringParts::Refused { why } => (Ok(busy(why).into_http()), Parcel::default(), None),
        };
        Poll::Ready(answered.map(|response| {
            response.map(|body| Answer {
                body,
                call,
                parcel,
                rest: Bytes::new(),
            })
        }))
    }
}

/// The body of an answer.
pub struct Answer {
    body: Body,
    call: Option<Call>,
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
        let call = me.call.as_ref().and_then(|call| call.connection.as_ref());
        let piece = Bytes::from_owner(Piece {
            bytes,
            _owed: call.map(Connection::owes),
            _parcel: last.then(|| std::mem::take(&mut me.parcel)),
        });
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use super::*;
    use crate::serve::{Origin, Phase};

    /// Admits, and answers with bytes.
    struct Handler(Arc<Admission>);

    struct Data(Option<Bytes>);

    impl http_body::Body for Data {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
        }
    }

    impl Service<http::Request<Upload>> for Handler {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<Upload>) -> Self::Future {
            let admission = Arc::clone(&self.0);
            Box::pin(async move {
                let _admitted = admission.admit(Origin::default(), None, 0).unwrap();
                let data = Data(Some(vec![b'x'; PIECE + 1].into()));
                Ok(http::Response::new(Body::new(data)))
            })
        }
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    async fn answer(limited: &Limited) -> http::Response<Answer> {
        let mut service = limited.layer(Handler(Arc::clone(&limited.admission)));
        let Ok(response) = service.call(http::Request::new(Body::empty())).await;
        response
    }

    async fn piece(answer: &mut Answer) -> Bytes {
        let frame =
            std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut *answer), cx));
        frame.await.unwrap().unwrap().into_data().unwrap()
    }

    fn limited(calls: usize) -> Limited {
        let admission = Arc::new(Admission::new(10, 1 << 30));
        admission.enter(Phase::Serving);
        Limited {
            admission,
            calls: Arc::new(Places::new(calls)),
        }
    }

    #[tokio::test]
    async fn a_request_counts_until_the_last_piece_of_its_answer_is_gone() {
        let limited = limited(10);
        let inside = || async { !limited.admission.drained(Duration::ZERO).await };
        let mut answer = answer(&limited).await.into_body();
        let first = piece(&mut answer).await;
        let last = piece(&mut answer).await;
        assert_eq!((first.len(), last.len()), (PIECE, 1));
        drop((answer, first));
        assert!(inside().await);
        drop(last);
        assert!(!inside().await);
    }

    #[tokio::test]
    async fn an_answer_that_is_given_up_counts_no_more() {
        let limited = limited(10);
        drop(answer(&limited).await);
        assert!(limited.admission.drained(Duration::ZERO).await);
    }

    #[tokio::test]
    async fn calls_beyond_the_limit_are_refused() {
        let limited = limited(2);
        let first = answer(&limited).await;
        assert!(!first.headers().contains_key("grpc-status"));
        assert!(answer(&limited).await.headers().contains_key("grpc-status"));
        drop(first);
        assert!(!answer(&limited).await.headers().contains_key("grpc-status"));
    }

    #[tokio::test]
    async fn what_would_be_refused_is_refused_unread() {
        let limited = limited(10);
        let mut service = limited.layer(Handler(Arc::clone(&limited.admission)));
        let admit = || limited.admission.admit(Origin::default(), None, 0).unwrap();
        let inside: Vec<_> = (0..8).map(|_| admit()).collect();
        let mut refused = async |path: &str| {
            let request = http::Request::builder().uri(path);
            let Ok(answer) = service.call(request.body(Body::empty()).unwrap()).await;
            answer.headers().contains_key("grpc-status")
        };
        assert!(refused(ADMITTED[0]).await);
        drop(inside);
        assert!(!refused(ADMITTED[0]).await);
    }

    #[test]
    fn messages_of_a_stream_count_until_the_piece_with_them_is_gone() {
        let unsent = Arc::new(Unsent::default());
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let cx = Context::from_waker(&waker);
        let mut parcel = Parcel::default();
        collect(&mut parcel, || {
            unsent.add();
            assert!(unsent.fewer_than(2, &cx));
            unsent.add();
        });
        assert!(!unsent.fewer_than(2, &cx));
        assert!(!woken.0.load(Ordering::Relaxed));
        drop(parcel);
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(unsent.fewer_than(1, &cx));
    }

    #[tokio::test]
    async fn what_is_dropped_where_nobody_collects_counts_no_more() {
        let limited = limited(1);
        drop(limited.admission.admit(Origin::default(), None, 0));
        assert!(limited.admission.drained(Duration::ZERO).await);
    }
}
