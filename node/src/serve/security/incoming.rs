//! TLS connections out of accepted ones.
//!
//! Handshakes run beside each other, at most `HANDSHAKES` at a time on a thread and none longer than `PATIENCE`, so that
//! who connects and says nothing keeps nobody out for long. Whoever comes without TLS is told so in the language it
//! speaks, HTTP/2 or HTTP/1.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aidb_client::tls::{Credentials, Program};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::refusals::Refusals;

const HANDSHAKES: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(5);
/// After a failed accept: the process is out of files, and some come back.
const PAUSE: Duration = Duration::from_millis(50);
/// The first byte of every TLS connection.
const HANDSHAKE_RECORD: u8 = 22;

const SECURE_HERE: &str =
    "this port speaks TLS: connect with a certificate of the cluster's authority (--tls, AIDB_TLS)";

/// Whose connection it is, as every request on it finds in its extensions.
#[derive(Clone, Debug)]
pub struct Peer {
    pub tcp: TcpConnectInfo,
    /// None: a client.
    pub program: Option<Program>,
}

pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
}

/// The connections of `listener`, until the stream is dropped. What fails concerns whoever connected, and was told by TLS
/// itself; `refused` notes it for whoever runs this.
pub fn incoming(
    listener: TcpListener,
    credentials: Arc<Credentials>,
    refused: Arc<Refusals>,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(HANDSHAKES);
    tokio::spawn(async move {
        let free = Arc::new(Semaphore::new(HANDSHAKES));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            let Ok((stream, address)) = accepted else {
                sleep(PAUSE).await;
                continue;
            };
            let (credentials, sender) = (Arc::clone(&credentials), sender.clone());
            let refused = Arc::clone(&refused);
            tokio::spawn(async move {
                let greeted = timeout(PATIENCE, greet(stream, address, &credentials)).await;
                match greeted {
                    Ok(Ok(connection)) => {
                        let _ = sender.send(Ok(connection)).await;
                    }
                    Ok(Err(why)) => refused.note(address, &why.to_string()),
                    Err(_) => refused.note(address, "it was silent"),
                }
                drop(permit);
            });
        }
    });
    ReceiverStream::new(receiver)
}

async fn greet(
    mut stream: TcpStream,
    address: SocketAddr,
    credentials: &Credentials,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE_RECORD {
        return turn_away(&mut stream, first[0]).await;
    }
    let tcp = TcpConnectInfo {
        local_addr: stream.local_addr().ok(),
        remote_addr: Some(address),
    };
    let stream = TlsAcceptor::from(credentials.server())
        .accept(stream)
        .await?;
    let shown = stream.get_ref().1.peer_certificates();
    let program = shown
        .and_then(<[_]>::first)
        .and_then(|certificate| credentials.program(certificate));
    let peer = Peer { tcp, program };
    Ok(Connection { stream, peer })
}

/// HTTP/2 clients begin with `PRI `; gRPC shows the text of a GOAWAY to its caller.
async fn turn_away(stream: &mut TcpStream, first: u8) -> io::Result<Connection> {
    let answer = if first == b'P' {
        let mut frames = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
        frames.extend([0, 0, 8 + SECURE_HERE.len() as u8, 7, 0, 0, 0, 0, 0]);
        // No stream was taken; INADEQUATE_SECURITY.
        frames.extend([0, 0, 0, 0, 0, 0, 0, 12]);
        frames.extend(SECURE_HERE.as_bytes());
        frames
    } else {
        let length = SECURE_HERE.len() + 1;
        format!(
            "HTTP/1.1 426 Upgrade Required\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{SECURE_HERE}\n"
        )
        .into_bytes()
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    // Closing with unread bytes would reset the connection, and the client would lose the answer.
    let mut rest = [0; 1024];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut rest) {
            Ok(0) => break,
            Err(why) if why.kind() != io::ErrorKind::WouldBlock => break,
            _ => {}
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "it speaks no TLS",
    ))
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
