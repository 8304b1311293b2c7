//! Redis by RESP: a batch is as many commands written at once.

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::keys::Keys;
use crate::target::Failure;
use crate::work::Work;

/// One operation has it at a time.
pub struct Redis(Mutex<Wire>);

struct Wire {
    stream: TcpStream,
    sent: BytesMut,
    received: BytesMut,
}

impl Redis {
    pub async fn open(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        Ok(Self(Mutex::new(Wire {
            stream,
            sent: BytesMut::new(),
            received: BytesMut::new(),
        })))
    }

    pub async fn ask(&self, work: Work, keys: &Keys, number: u64) -> Result<(), Failure> {
        let reads = match work {
            Work::Get | Work::BatchGet(_) => true,
            Work::Put | Work::BatchPut(_) => false,
            Work::Scan(_) => return Err(Failure::unsupported(work)),
        };
        let mut wire = self.0.lock().await;
        wire.sent.clear();
        for index in 0..work.keys() {
            let key = keys.key(number + index);
            match reads {
                true => wire.command(&[b"GET", &key]),
                false => wire.command(&[b"SET", &key, &keys.value()]),
            }
        }
        let Wire { stream, sent, .. } = &mut *wire;
        stream.write_all(sent).await.map_err(broken)?;
        for _ in 0..work.keys() {
            wire.answer().await?;
        }
        Ok(())
    }
}

fn broken(error: std::io::Error) -> Failure {
    Failure::named(format!("redis: {error}"))
}

impl Wire {
    fn command(&mut self, words: &[&[u8]]) {
        self.sent
            .extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.sent
                .extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            self.sent.extend_from_slice(word);
            self.sent.extend_from_slice(b"\r\n");
        }
    }

    /// One that is neither an error nor nothing.
    async fn answer(&mut self) -> Result<(), Failure> {
        let line = self.line().await?;
        match line.first() {
            Some(b'+') => Ok(()),
            Some(b'$') => {
                let length = std::str::from_utf8(&line[1..])
                    .ok()
                    .and_then(|digits| digits.parse::<usize>().ok());
                let length = length.ok_or_else(|| Failure::named("NOT_FOUND"))?;
                self.at_least(length + 2).await?;
                self.received.advance(length + 2);
                Ok(())
            }
            _ => Err(Failure::named(String::from_utf8_lossy(&line))),
        }
    }

    /// Without its end.
    async fn line(&mut self) -> Result<BytesMut, Failure> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.received[looked..]
                .windows(2)
                .position(|pair| pair == b"\r\n")
            {
                let line = self.received.split_to(looked + at);
                self.received.advance(2);
                return Ok(line);
            }
            looked = self.received.len().saturating_sub(1);
            self.at_least(self.received.len() + 1).await?;
        }
    }

    async fn at_least(&mut self, bytes: usize) -> Result<(), Failure> {
        while self.received.len() < bytes {
            let read = self.stream.read_buf(&mut self.received).await;
            if read.map_err(broken)? == 0 {
                return Err(Failure::named("redis closed the connection"));
            }
        }
        Ok(())
    }
}
