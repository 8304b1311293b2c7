//! Unary gets and puts, from the bytes of the request to the bytes of the answer, before the generic machinery of
//! services: that finds the route by matching, boxes bodies and futures several times over, and keeps a buffer of 8 KiB
//! in each direction, which costs more than a get does. Everything around it is as for every other call: limits,
//! security, deadlines. What is not plain (an encoding, another method than POST) goes the generic way.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aidb_client::pb;
use http::{Method, Request, Response};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::message::{Asked, respond};
use super::observed::Headed;
use super::origin::Origin;
use super::pipeline::{Answer, Later, Requests};
use super::scoped::look;
use super::security::{Reaching, Scope};
use super::uploads::Upload;

/// What begins gets and puts.
pub trait Unary: Send + Sync {
    fn get(&self, from: Origin, asked: pb::GetRequest) -> Answer<pb::GetResponse>;
    fn put(&self, from: Origin, asked: pb::PutRequest) -> Answer<pb::PutResponse>;
}

impl<S: Requests> Unary for S {
    fn get(&self, from: Origin, asked: pb::GetRequest) -> Answer<pb::GetResponse> {
        self.begin_get(from, asked)
    }

    fn put(&self, from: Origin, asked: pb::PutRequest) -> Answer<pb::PutResponse> {
        self.begin_put(from, asked)
    }
}

#[derive(Clone)]
pub struct UnaryLayer {
    pub handler: Arc<dyn Unary>,
    /// Of the largest request.
    pub message_bytes: usize,
}

impl<S> Layer<S> for UnaryLayer {
    type Service = UnaryService<S>;

    fn layer(&self, generic: S) -> UnaryService<S> {
        UnaryService {
            layer: self.clone(),
            generic,
        }
    }
}

#[derive(Clone)]
pub struct UnaryService<S> {
    layer: UnaryLayer,
    generic: S,
}

#[derive(Clone, Copy)]
pub enum Kind {
    Get,
    Put,
}

fn asked<B>(request: &Request<B>) -> Option<Kind> {
    let encoding = request.headers().get("grpc-encoding");
    if request.method() != Method::POST || encoding.is_some_and(|named| named != "identity") {
        return None;
    }
    match request.uri().path() {
        "/aidb.v1.Storage/Get" => Some(Kind::Get),
        "/aidb.v1.Storage/Put" => Some(Kind::Put),
        _ => None,
    }
}

impl<S> Service<Request<Upload>> for UnaryService<S>
where
    S: Service<Request<Upload>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Serving<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.generic.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Upload>) -> Self::Future {
        let Some(kind) = asked(&request) else {
            return Serving::Generic {
                future: self.generic.call(request),
            };
        };
        let from = Origin::by(request.headers(), request.extensions());
        let scope = request.extensions().get().cloned();
        let UnaryLayer {
            handler,
            message_bytes,
        } = &self.layer;
        Serving::Reading {
            kind,
            from,
            scope,
            handler: Arc::clone(handler),
            asked: Asked::new(request.into_body(), *message_bytes),
        }
    }
}

pin_project! {
    #[project = ServingParts]
    pub enum Serving<F> {
        Generic {
            #[pin]
            future: F,
        },
        Reading {
            kind: Kind,
            from: Origin,
            // Of a caller who is limited.
            scope: Option<Arc<Scope>>,
            handler: Arc<dyn Unary>,
            asked: Asked,
        },
        Getting {
            answer: Later<pb::GetResponse>,
        },
        Putting {
            answer: Later<pb::PutResponse>,
        },
    }
}

/// A message that cannot be read, or that its caller may not send, is answered as well.
fn begun<T: Reaching + Headed, U>(
    asked: Result<T, Status>,
    scope: &Option<Arc<Scope>>,
    begin: impl FnOnce(T) -> Answer<U>,
) -> Answer<U> {
    let allowed = |mut asked: T| look(&mut asked, scope.as_ref()).map(|()| asked);
    asked
        .and_then(allowed)
        .map_or_else(|refused| Answer::Now(Err(refused)), begin)
}

impl<F, E> Future for Serving<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                ServingParts::Generic { future } => return future.poll(cx),
                ServingParts::Getting { answer } => {
                    return Poll::Ready(Ok(respond(ready!(answer.as_mut().poll(cx)))));
                }
                ServingParts::Putting { answer } => {
                    return Poll::Ready(Ok(respond(ready!(answer.as_mut().poll(cx)))));
                }
                ServingParts::Reading {
                    kind: Kind::Get,
                    from,
                    scope,
                    handler,
                    asked,
                } => match begun(ready!(asked.poll(cx)), scope, |asked| {
                    handler.get(*from, asked)
                }) {
                    Answer::Later(answer) => Self::Getting { answer },
                    Answer::Now(answer) => return Poll::Ready(Ok(respond(answer))),
                },
                ServingParts::Reading {
                    kind: Kind::Put,
                    from,
                    scope,
                    handler,
                    asked,
                } => match begun(ready!(asked.poll(cx)), scope, |asked| {
                    handler.put(*from, asked)
                }) {
                    Answer::Later(answer) => Self::Putting { answer },
                    Answer::Now(answer) => return Poll::Ready(Ok(respond(answer))),
                },
            };
            self.set(next);
        }
    }
}
