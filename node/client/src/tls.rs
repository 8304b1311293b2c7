//! TLS between the programs of a cluster: what a program proves itself with and whom it trusts, renewable while it runs.
//!
//! Both ends show a certificate of the cluster's authority (mutual TLS 1.3, ALPN h2). Programs are dialled by addresses
//! that change, so a certificate speaks for a program and not for an address: it carries `node.<domain>` or
//! `coordinator.<domain>`, and the dialler checks the name of what it means to reach. A certificate with neither name is a
//! client's: it opens a connection, and nothing else without a bearer token.
//!
//! A new connection takes the newest material; one that exists lives on. There are no session tickets: whoever connects
//! is verified against what is trusted now.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};
use tower_service::Service;

pub const DEFAULT_DOMAIN: &str = "aidb.internal";

/// What a certificate of a program may speak for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Node,
    Coordinator,
}

/// The three files, as PEM.
pub struct Pem<'a> {
    pub ca: &'a [u8],
    pub certificate: &'a [u8],
    pub key: &'a [u8],
}

/// Says what is wrong with which of the files.
#[derive(Debug)]
pub struct BadCredentials(String);

impl std::fmt::Display for BadCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadCredentials {}

pub struct Credentials {
    current: RwLock<Configs>,
    node: ServerName<'static>,
    coordinator: ServerName<'static>,
}

#[derive(Clone)]
struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Credentials {
    pub fn new(pem: &Pem<'_>, domain: &str) -> Result<Self, BadCredentials> {
        let name = |program: &str| {
            ServerName::try_from(format!("{program}.{domain}"))
                .map_err(|_| BadCredentials(format!("{domain:?} is no domain of certificates")))
        };
        Ok(Self {
            current: RwLock::new(configs(pem)?),
            node: name("node")?,
            coordinator: name("coordinator")?,
        })
    }

    /// From a directory with `ca.crt`, `tls.crt` and `tls.key`.
    pub fn load(directory: &Path, domain: &str) -> Result<Self, BadCredentials> {
        let read = |name: &str| {
            let path = directory.join(name);
            std::fs::read(&path).map_err(|why| BadCredentials(format!("{}: {why}", path.display())))
        };
        let (ca, certificate, key) = (read("ca.crt")?, read("tls.crt")?, read("tls.key")?);
        let pem = Pem {
            ca: &ca,
            certificate: &certificate,
            key: &key,
        };
        Self::new(&pem, domain)
    }

    /// Connections from now on use these; bad ones change nothing.
    pub fn renew(&self, pem: &Pem<'_>) -> Result<(), BadCredentials> {
        let renewed = configs(pem)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    pub fn server(&self) -> Arc<ServerConfig> {
        self.configs().server
    }

    fn configs(&self) -> Configs {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// Which program a peer's certificate, already verified, speaks for; None: a client's.
    pub fn program(&self, certificate: &CertificateDer<'_>) -> Option<Program> {
        let certificate = ParsedCertificate::try_from(certificate).ok()?;
        [Program::Node, Program::Coordinator]
            .into_iter()
            .find(|program| verify_server_name(&certificate, self.name(*program)).is_ok())
    }

    fn name(&self, program: Program) -> &ServerName<'static> {
        match program {
            Program::Node => &self.node,
            Program::Coordinator => &self.coordinator,
        }
    }
}

fn configs(pem: &Pem<'_>) -> Result<Configs, BadCredentials> {
    let bad = |file: &'static str| {
        move |why: &dyn std::fmt::Display| BadCredentials(format!("{file}: {why}"))
    };
    let roots = certificates(pem.ca, "ca.crt")?;
    let mut trusted = RootCertStore::empty();
    for root in roots {
        trusted.add(root).map_err(|why| bad("ca.crt")(&why))?;
    }
    let trusted = Arc::new(trusted);
    let chain = certificates(pem.certificate, "tls.crt")?;
    let key = PrivateKeyDer::from_pem_slice(pem.key)
        .map_err(|_| BadCredentials("tls.key holds no private key in PEM".into()))?;
    let provider = Arc::new(ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&trusted), Arc::clone(&provider))
            .build()
            .map_err(|why| bad("ca.crt")(&why))?;
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|why| bad("TLS 1.3")(&why))?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(|why| bad("tls.crt, tls.key")(&why))?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|why| bad("TLS 1.3")(&why))?
        .with_root_certificates(trusted)
        .with_client_auth_cert(chain, key)
        .map_err(|why| bad("tls.crt, tls.key")(&why))?;
    client.alpn_protocols = vec![b"h2".to_vec()];
    client.resumption = rustls::client::Resumption::disabled();
    Ok(Configs {
        server: Arc::new(server),
        client: Arc::new(client),
    })
}

fn certificates(pem: &[u8], file: &str) -> Result<Vec<CertificateDer<'static>>, BadCredentials> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(BadCredentials(format!(
            "{file} holds no certificate in PEM"
        ))),
    }
}

/// How a program connects to others: plainly, or as its credentials say.
#[derive(Clone, Default)]
pub struct Dialer {
    credentials: Option<Arc<Credentials>>,
}

impl Dialer {
    pub fn new(credentials: Option<Arc<Credentials>>) -> Self {
        Self { credentials }
    }

    /// Connects at the first call, and again whenever the connection is lost.
    pub fn lazy(&self, endpoint: Endpoint, program: Program) -> Channel {
        match &self.credentials {
            None => endpoint.connect_lazy(),
            Some(credentials) => {
                secure(endpoint).connect_with_connector_lazy(Connector::new(credentials, program))
            }
        }
    }

    pub async fn connect(&self, endpoint: Endpoint, program: Program) -> Result<Channel, Status> {
        let connected = match &self.credentials {
            None => endpoint.connect().await,
            Some(credentials) => {
                let connector = Connector::new(credentials, program);
                secure(endpoint).connect_with_connector(connector).await
            }
        };
        connected.map_err(|failed| Status::unavailable(cause(&failed)))
    }
}

/// What is at the bottom of a failure to connect: what lies above says that it is one.
fn cause(failed: &dyn std::error::Error) -> String {
    let mut cause = failed;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The same endpoint, whose requests say that they come by https: the connector, not tonic, makes it so.
fn secure(endpoint: Endpoint) -> Endpoint {
    let mut parts = endpoint.uri().clone().into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTPS);
    match Uri::from_parts(parts) {
        Ok(origin) => endpoint.origin(origin),
        Err(_) => endpoint,
    }
}

struct Connector {
    credentials: Arc<Credentials>,
    program: Program,
}

impl Connector {
    fn new(credentials: &Arc<Credentials>, program: Program) -> Self {
        Self {
            credentials: Arc::clone(credentials),
            program,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = TlsConnector::from(self.credentials.configs().client);
        let name = self.credentials.name(self.program).clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let stream = TcpStream::connect((host, uri.port_u16().unwrap_or_default())).await?;
            stream.set_nodelay(true)?;
            let expected = name.to_str().into_owned();
            let connected = connector.connect(name, stream).await.map_err(|why| {
                let why = format!("no TLS with it as {expected}: {why}");
                io::Error::new(io::ErrorKind::InvalidData, why)
            })?;
            Ok(TokioIo::new(connected))
        })
    }
}
