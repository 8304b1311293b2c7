//! Counts calls, outermost of all: also what the limits or the guard refuse.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::super::observed::{expect, found};
use super::{Code, Course, Method, Tally};

#[derive(Clone)]
pub struct CountLayer {
    /// Of this serving thread.
    pub tally: Arc<Tally>,
}

impl<S> Layer<S> for CountLayer {
    type Service = Counter<S>;

    fn layer(&self, inner: S) -> Counter<S> {
        Counter {
            tally: Arc::clone(&self.tally),
            inner,
        }
    }
}

#[derive(Clone)]
pub struct Counter<S> {
    tally: Arc<Tally>,
    inner: S,
}

impl<S, A, B> Service<Request<A>> for Counter<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<Counted<B>>;
    type Error = S::Error;
    type Future = Counting<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let method = Method::of(request.uri().path());
        if method == Method::Pipeline {
            // For its requests.
            request.extensions_mut().insert(Arc::clone(&self.tally));
        }
        let open = Open {
            tally: Arc::clone(&self.tally),
            method,
            course: self.tally.begin(method),
            code: Code::CANCELLED,
        };
        Counting {
            future: self.inner.call(request),
            // Of a pipeline each request is looked at by itself.
            unseen: method.is_request() && self.tally.watch().is_on(),
            open: Some(open),
        }
    }
}

/// A call under way; dropped as it is, it was given up.
struct Open {
    tally: Arc<Tally>,
    method: Method,
    course: Course,
    code: Code,
}

impl Open {
    fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.tally.end(self.method, self.code, &self.course);
    }
}

pin_project! {
    pub struct Counting<F> {
        #[pin]
        future: F,
        open: Option<Open>,
        // It is not known what its message says, and somebody wants to.
        unseen: bool,
    }
}

impl<F, B, E> Future for Counting<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Counted<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = match (*this.unseen, &mut *this.open) {
            (true, Some(open)) => {
                expect(open.tally.watch().traces());
                let answered = this.future.poll(cx);
                if let Some(seen) = found() {
                    open.course.seen = seen;
                    *this.unseen = false;
                }
                answered
            }
            _ => this.future.poll(cx),
        };
        let answered = ready!(answered);
        let mut open = this.open.take();
        Poll::Ready(answered.map(|response| {
            let code = Code::shown(response.headers());
            // A scan has ended when its last piece is there, or when its client has had enough.
            let goes_on = code == Code::OK
                && open
                    .as_ref()
                    .is_some_and(|open| open.method == Method::Scan);
            if !goes_on && let Some(open) = open.take() {
                open.end(code);
            }
            response.map(|body| Counted { body, open })
        }))
    }
}

pin_project! {
    /// The body of an answer.
    pub struct Counted<B> {
        #[pin]
        body: B,
        // Of a scan, until it has ended.
        open: Option<Open>,
    }
}

impl<B: http_body::Body<Data = Bytes>> http_body::Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(cx));
        if this.open.is_some() {
            let code = match &frame {
                None => Some(Code::OK),
                Some(Ok(frame)) => frame.trailers_ref().map(Code::shown),
                Some(Err(_)) => Some(Code::TRANSPORT),
            };
            if let Some(code) = code
                && let Some(open) = this.open.take()
            {
                open.end(code);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{pending, ready};

    use aidb_client::error::refuse;
    use aidb_client::pb::{self, ErrorCode};
    use tonic::body::Body;

    use std::time::Duration;

    use super::super::super::observed::{Watch, Watched, note};
    use super::super::Tallies;
    use super::*;

    fn tallies(slow: Option<Duration>) -> Tallies {
        Tallies::new(Watch::new(Watched {
            slow,
            traces: false,
        }))
    }

    /// Answers with a refusal, with frames, never, or when it has read a message.
    #[derive(Clone)]
    enum Handler {
        Refuses,
        Streams,
        Hangs,
        Reads,
    }

    async fn read() -> Result<Response<Body>, Infallible> {
        tokio::task::yield_now().await;
        let id = pb::RequestId { client: 7, seq: 3 };
        note(&mut pb::PutRequest {
            header: Some(pb::RequestHeader {
                request_id: Some(id),
                ..Default::default()
            }),
            ..Default::default()
        });
        tokio::task::yield_now().await;
        Ok(Response::new(Body::empty()))
    }

    impl Service<Request<()>> for Handler {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            match self {
                Self::Refuses => Box::pin(ready(Ok(refuse(ErrorCode::Moved, "x").into_http()))),
                Self::Streams => Box::pin(ready(Ok(Response::new(Body::new(Frames(2)))))),
                Self::Hangs => Box::pin(pending()),
                Self::Reads => Box::pin(read()),
            }
        }
    }

    /// Data, then the trailers of a scan that failed.
    struct Frames(u32);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = tonic::Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, tonic::Status>>> {
            self.0 = self.0.saturating_sub(1);
            let failed: Response<Body> = refuse(ErrorCode::Busy, "x").into_http();
            Poll::Ready(Some(Ok(match self.0 {
                0 => Frame::trailers(failed.headers().clone()),
                _ => Frame::data(Bytes::from_static(b"piece")),
            })))
        }
    }

    fn counted(tallies: &Tallies, method: Method) -> Vec<String> {
        let stats = tallies.stats().swap_remove(method as usize);
        let codes = stats.codes.into_iter();
        codes
            .map(|one| format!("{} {}", one.code, one.requests))
            .collect()
    }

    fn call(
        tallies: &Tallies,
        handler: Handler,
        path: &str,
    ) -> Counting<<Handler as Service<Request<()>>>::Future> {
        let layer = CountLayer {
            tally: tallies.tally(),
        };
        let request = Request::builder().uri(path).body(()).unwrap();
        layer.layer(handler).call(request)
    }

    #[tokio::test]
    async fn a_call_counts_when_it_is_answered_and_when_it_is_given_up() {
        let tallies = tallies(None);
        let Ok(_) = call(&tallies, Handler::Refuses, "/aidb.v1.Storage/Put").await;
        assert_eq!(counted(&tallies, Method::Put), ["MOVED 1"]);
        let hanging = call(&tallies, Handler::Hangs, "/aidb.v1.Storage/Put");
        assert_eq!(counted(&tallies, Method::Put), ["MOVED 1"]);
        drop(hanging);
        assert_eq!(counted(&tallies, Method::Put), ["MOVED 1", "CANCELLED 1"]);
    }

    #[tokio::test]
    async fn a_scan_counts_when_its_stream_ends() {
        let tallies = tallies(None);
        let scan = || call(&tallies, Handler::Streams, "/aidb.v1.Storage/Scan");
        let Ok(answer) = scan().await;
        let mut body = Box::pin(answer.into_body());
        let mut frame = async || {
            std::future::poll_fn(|cx| http_body::Body::poll_frame(body.as_mut(), cx)).await
        };
        frame().await.unwrap().unwrap();
        assert!(counted(&tallies, Method::Scan).is_empty());
        frame().await.unwrap().unwrap();
        assert_eq!(counted(&tallies, Method::Scan), ["BUSY 1"]);
        let Ok(left) = scan().await;
        drop(left);
        assert_eq!(counted(&tallies, Method::Scan), ["BUSY 1", "CANCELLED 1"]);
    }

    #[tokio::test]
    async fn what_a_message_says_is_known_at_the_end_of_its_call() {
        let tallies = tallies(Some(Duration::ZERO));
        let Ok(_) = call(&tallies, Handler::Reads, "/aidb.v1.Storage/Put").await;
        let (kept, _) = tallies.watch().take(10);
        assert_eq!((kept.len(), kept[0].method), (1, Method::Put));
        assert_eq!((kept[0].seen.client, kept[0].seen.seq), (7, 3));
    }
}
