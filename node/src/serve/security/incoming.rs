//! TLS connections out of accepted ones.
//!
//! Handshakes run beside each other, at most `HANDSHAKES` at a time on a thread and none longer than `PATIENCE`, so that
//! who connects and says nothing keeps nobody out for long. Whoever comes without TLS is told so in the language it
//! speaks, HTTP/2 or HTTP/1.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use aidb_client::tls::Credentials;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::refusals::Refusals;
use crate::serve::connection::{Connection, Watched};
use crate::serve::incoming::Incoming;

const HANDSHAKES: usize = 1024;
const PATIENCE: Duration = Duration::from_secs(5);
/// The first byte of every TLS connection.
const HANDSHAKE_RECORD: u8 = 22;

const SECURE_HERE: &str =
    "this port speaks TLS: connect with a certificate of the cluster's authority (--tls, AIDB_TLS)";

type Secured = Watched<TlsStream<TcpStream>>;

/// The connections of `incoming`, until the stream is dropped. What fails concerns whoever connected, and was told by TLS
/// itself; `refused` notes it for whoever runs this.
pub fn secured(
    mut incoming: Incoming,
    credentials: Arc<Credentials>,
    refused: Arc<Refusals>,
) -> ReceiverStream<io::Result<Secured>> {
    let (sender, receiver) = mpsc::channel(HANDSHAKES);
    tokio::spawn(async move {
        let free = Arc::new(Semaphore::new(HANDSHAKES));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = incoming.next() => accepted,
                () = sender.closed() => return,
            };
            let Some(Ok((stream, connection))) = accepted else {
                return;
            };
            let (credentials, sender) = (Arc::clone(&credentials), sender.clone());
            let refused = Arc::clone(&refused);
            tokio::spawn(async move {
                let peer = connection.peer;
                match timeout(PATIENCE, greet(stream, connection, &credentials)).await {
                    Ok(Ok(secured)) => {
                        let _ = sender.send(Ok(secured)).await;
                    }
                    Ok(Err(why)) => refused.note(peer, &why.to_string()),
                    Err(_) => refused.note(peer, "it was silent"),
                }
                drop(permit);
            });
        }
    });
    ReceiverStream::new(receiver)
}

async fn greet(
    mut stream: TcpStream,
    connection: Arc<Connection>,
    credentials: &Credentials,
) -> io::Result<Secured> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE_RECORD {
        return turn_away(&mut stream, first[0]).await;
    }
    let stream = TlsAcceptor::from(credentials.server())
        .accept(stream)
        .await?;
    let shown = stream.get_ref().1.peer_certificates();
    let program = shown
        .and_then(<[_]>::first)
        .and_then(|certificate| credentials.program(certificate));
    if let Some(program) = program {
        let _ = connection.program.set(program);
    }
    Ok(Watched::new(stream, connection))
}

/// HTTP/2 clients begin with `PRI `; gRPC shows the text of a GOAWAY to its caller.
async fn turn_away(stream: &mut TcpStream, first: u8) -> io::Result<Secured> {
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
