//! Before every call of a secured server: who calls, and whether the contracts let it.

use std::sync::Arc;
use std::task::{Context, Poll};

use aidb_client::access::{name, required};
use aidb_client::error::refuse;
use aidb_client::pb::{Access, ErrorCode};
use aidb_client::tls::Program;
use futures_util::future::{Either, Ready, ready};
use http::{HeaderMap, Request, Response, header};
use tonic::Status;
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::Security;
use super::scope::{Reaching, Scope};
use super::tokens::{Digest, Refused, digest};
use crate::serve::clock::wall_ms;
use crate::serve::connection::Connection;

const PIPELINE: &str = "/aidb.v1.Storage/Pipeline";

/// Who asks for what is for administrators.
#[derive(Clone)]
pub struct Who(pub Arc<str>);

/// What a caller may, and who it is.
enum Judged {
    Program,
    Bearer(Option<Arc<Scope>>),
    /// Of a token that is for administrators, to whom it was asked for.
    Administrator(Arc<str>),
}

/// Who opened a stream of requests: each of them is judged, by the tokens of its moment.
#[derive(Clone)]
pub struct Caller {
    security: Arc<Security>,
    shown: Shown,
}

/// What a caller proved itself with.
#[derive(Clone, Copy)]
enum Shown {
    ProgramCertificate,
    Token(Digest),
}

impl Caller {
    /// Whether the contracts let this caller call `path` now, and for what `asked` reaches for.
    pub fn may(&self, path: &str, asked: &impl Reaching) -> Result<(), Status> {
        let Some(needed) = required(path) else {
            return Ok(());
        };
        match self.security.judge(self.shown, needed, path)? {
            Judged::Bearer(Some(scope)) => scope.allows(asked),
            _ => Ok(()),
        }
    }
}

impl Security {
    fn judge(&self, shown: Shown, needed: Access, path: &str) -> Result<Judged, Status> {
        let Shown::Token(digest) = shown else {
            return Ok(Judged::Program);
        };
        let tokens = self.tokens.load();
        let token = tokens.find(&digest, wall_ms()).map_err(|why| {
            let why = match why {
                Refused::Unknown => {
                    "this token is not known here: it was revoked, or is of another cluster"
                }
                Refused::Expired => {
                    "this token has expired: ask an administrator for another (aidb-admin tokens create)"
                }
            };
            refuse(ErrorCode::Unauthenticated, why)
        })?;
        let held = token.access;
        if held >= needed {
            return Ok(match needed {
                Access::Admin => Judged::Administrator(Arc::clone(&token.name)),
                _ => Judged::Bearer(token.scope.clone()),
            });
        }
        let path = path.trim_start_matches('/');
        let message = match needed {
            Access::Program => format!(
                "{path} is for programs of the cluster: it needs a certificate of one, no token opens it"
            ),
            _ => format!(
                "{path} needs a token for {}, and this one is for {}: ask an administrator for another (aidb-admin tokens create)",
                name(needed),
                name(held)
            ),
        };
        Err(refuse(ErrorCode::PermissionDenied, message))
    }
}

fn token(headers: &HeaderMap) -> Result<Digest, Status> {
    let refused = |why: &str| refuse(ErrorCode::Unauthenticated, why);
    let shown = headers.get(header::AUTHORIZATION).ok_or_else(|| {
        refused("no token was given: send `authorization: Bearer TOKEN` (AIDB_TOKEN_FILE, --token-file)")
    })?;
    match shown.as_bytes().split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => Ok(digest(token)),
        _ => Err(refused("the authorization header is not `Bearer TOKEN`")),
    }
}

fn connection_program<B>(request: &Request<B>) -> &'static str {
    let connection = request.extensions().get::<Arc<Connection>>();
    match connection.and_then(|by| by.program.get()) {
        Some(Program::Coordinator) => "a coordinator, by its certificate",
        _ => "a node, by its certificate",
    }
}

#[derive(Clone)]
pub struct GuardLayer {
    pub security: Arc<Security>,
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard {
            inner,
            security: Arc::clone(&self.security),
        }
    }
}

#[derive(Clone)]
pub struct Guard<S> {
    inner: S,
    security: Arc<Security>,
}

impl<S> Guard<S> {
    fn judge<B>(&self, request: &mut Request<B>) -> Result<(), Status> {
        let connection = request.extensions().get::<Arc<Connection>>();
        let is_program = connection.is_some_and(|by| by.program.get().is_some());
        let path = request.uri().path();
        // What anybody may call who could connect.
        let Some(needed) = required(path) else {
            return Ok(());
        };
        let shown = if is_program {
            Shown::ProgramCertificate
        } else {
            Shown::Token(token(request.headers())?)
        };
        let judged = self.security.judge(shown, needed, path)?;
        if path == PIPELINE {
            let security = Arc::clone(&self.security);
            request.extensions_mut().insert(Caller { security, shown });
            return Ok(());
        }
        match judged {
            Judged::Bearer(None) => {}
            Judged::Bearer(Some(scope)) => {
                request.extensions_mut().insert(scope);
            }
            Judged::Administrator(name) => {
                request.extensions_mut().insert(Who(name));
            }
            Judged::Program if needed == Access::Admin => {
                let program = connection_program(request);
                request.extensions_mut().insert(Who(program.into()));
            }
            Judged::Program => {}
        }
        Ok(())
    }
}

impl<S, B> Service<Request<B>> for Guard<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.judge(&mut request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(refused) => Either::Right(ready(Ok(refused.into_http()))),
        }
    }
}
