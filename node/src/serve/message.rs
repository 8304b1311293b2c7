//! The one message of a unary call, in and out, in the framing of gRPC: a byte of flags, four of length, the message; and
//! after the answer's its status. Errors are those of tonic.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aidb_client::codec;
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Body as _, Frame};
use prost::Message;
use tonic::Status;
use tonic::body::Body;

use super::uploads::Upload;

const PREFIX: usize = 5;

/// A request's message as it comes. Its bytes are in memory of their own: a slice of what the connection has read would
/// keep all of that.
pub struct Asked {
    body: Upload,
    came: BytesMut,
    /// The longest message.
    most: usize,
}

impl Asked {
    pub fn new(body: Upload, most: usize) -> Self {
        Self {
            body,
            came: BytesMut::new(),
            most,
        }
    }

    /// Its message, when all of it has come.
    pub fn poll<T: Message + Default + 'static>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, Status>> {
        while !self.body.is_end_stream() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => break,
                Some(Err(failed)) => return Poll::Ready(Err(failed)),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.came.extend_from_slice(data);
                        if self.length()?.is_some_and(|all| self.came.len() > all) {
                            let message =
                                "protocol error: this call takes one message, and more came";
                            return Poll::Ready(Err(Status::internal(message)));
                        }
                    }
                }
            }
        }
        Poll::Ready(self.decode())
    }

    /// With the prefix; None: that has not come yet.
    fn length(&self) -> Result<Option<usize>, Status> {
        let Some(&[flags, ref length @ ..]) = self.came.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        if flags != 0 {
            let message = "protocol error: this message is marked as compressed, but its encoding was not named";
            return Err(Status::internal(message));
        }
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.most {
            return Err(Status::out_of_range(format!(
                "Error, decoded message length too large: found {length} bytes, the limit is: {} bytes",
                self.most
            )));
        }
        Ok(Some(PREFIX + length))
    }

    fn decode<T: Message + Default + 'static>(&mut self) -> Result<T, Status> {
        match self.length()? {
            Some(all) if all == self.came.len() => {
                codec::decode(self.came.split_off(PREFIX).freeze())
            }
            None if self.came.is_empty() => Err(Status::internal("Missing request message.")),
            _ => Err(Status::internal("Unexpected EOF decoding stream.")),
        }
    }
}

/// An answer's message, then the status that all is well.
pub struct Answered(Option<Bytes>);

/// What goes out for `answer`.
pub fn respond<T: Message>(answer: Result<T, Status>) -> Response<Body> {
    match answer {
        Ok(message) => {
            let mut response = Response::new(Body::new(Answered(Some(encode(&message)))));
            let kind = HeaderValue::from_static("application/grpc");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(status) => status.into_http(),
    }
}

fn encode<T: Message>(message: &T) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(length as u32);
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

impl http_body::Body for Answered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // h2 asks no further than for the trailers.
        let frame = match self.0.take() {
            Some(bytes) => Frame::data(bytes),
            None => {
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
                Frame::trailers(trailers)
            }
        };
        Poll::Ready(Some(Ok(frame)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use aidb_client::pb::GetRequest;
    use tonic::Code;

    use super::super::admission::Admission;
    use super::*;

    /// Gives its frames one after another, and says that it has ended only when asked for more.
    struct Frames(VecDeque<Bytes>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop_front().map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    async fn read(parts: &[&[u8]]) -> Result<GetRequest, Status> {
        let frames = parts.iter().map(|part| Bytes::copy_from_slice(part));
        let body = Body::new(Frames(frames.collect()));
        let admission = Arc::new(Admission::new(10, 1 << 20));
        let upload = Upload::new(body, "/aidb.v1.Storage/Get", &admission, None);
        let mut asked = Asked::new(upload, 100);
        std::future::poll_fn(|cx| asked.poll(cx)).await
    }

    #[tokio::test]
    async fn a_message_is_whole_however_it_is_cut() {
        let message = GetRequest {
            header: None,
            key: Bytes::from_static(b"a key"),
        };
        let bytes = encode(&message);
        assert_eq!(read(&[&bytes]).await.unwrap(), message);
        for at in 1..bytes.len() {
            let (first, second) = bytes.split_at(at);
            assert_eq!(read(&[first, second]).await.unwrap(), message);
            assert_eq!(read(&[first]).await.unwrap_err().code(), Code::Internal);
        }
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        let code = async |bytes: &[u8]| read(&[bytes]).await.unwrap_err().code();
        assert_eq!(code(&[]).await, Code::Internal);
        assert_eq!(code(&[1, 0, 0, 0, 0]).await, Code::Internal, "compressed");
        assert_eq!(code(&[0, 0, 0, 0, 101]).await, Code::OutOfRange, "too long");
        assert_eq!(code(&[0, 0, 0, 0, 1, 0xff]).await, Code::Internal);
        let two = [
            encode(&GetRequest::default()),
            encode(&GetRequest::default()),
        ]
        .concat();
        assert_eq!(code(&two).await, Code::Internal, "two messages");
    }
}
