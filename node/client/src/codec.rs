//! How messages are encoded: by prost, after a look at what decoding would cost.
//!
//! A field on the wire may have two bytes and take a hundred times as much in memory: a message within its limit of bytes
//! could fill the machine, before any handler can refuse it. So a large message is scanned first, and refused when it has
//! more parts than any request or answer has. (A lower limit of bytes was rejected: values are large.)
//!
//! Single reads and writes begin with small buffers: a router has four of them for each that is under way, and tonic's
//! usual 8 KiB made a burst of a thousand cost 30 MB.

use std::any::TypeId;
use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstDecoder, ProstEncoder};

use crate::error::refuse;
use crate::pb::{self, ErrorCode, PipelineRequest};

/// A batch has 100,000 items at most; a full chunk of a scan has more, when its keys are tiny.
const MOST_PARTS: usize = 1 << 18;
/// Smaller messages cannot have many.
const SCANNED: usize = 64 << 10;
/// What most of them fit into; larger ones grow.
const SINGLE: usize = 512;
/// Tonic's own: a single message never comes to it.
const YIELD_AT: usize = 32 << 10;

pub struct Checked<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Checked<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Checked<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = CheckedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(buffers::<T>())
    }

    fn decoder(&mut self) -> Self::Decoder {
        CheckedDecoder(ProstDecoder::new(buffers::<U>()))
    }
}

fn buffers<T: 'static>() -> BufferSettings {
    let single = [
        TypeId::of::<pb::GetRequest>(),
        TypeId::of::<pb::GetResponse>(),
        TypeId::of::<pb::PutRequest>(),
        TypeId::of::<pb::PutResponse>(),
        TypeId::of::<pb::DeleteRequest>(),
        TypeId::of::<pb::DeleteResponse>(),
    ];
    match single.contains(&TypeId::of::<T>()) {
        true => BufferSettings::new(SINGLE, YIELD_AT),
        false => BufferSettings::default(),
    }
}

pub struct CheckedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default + 'static> Decoder for CheckedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        check::<U>(source.chunk())?;
        self.0.decode(source)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// The message that is all of `bytes`.
pub fn decode<U: Message + Default + 'static>(bytes: Bytes) -> Result<U, Status> {
    check::<U>(&bytes)?;
    U::decode(bytes).map_err(|error| Status::internal(error.to_string()))
}

fn check<U: 'static>(message: &[u8]) -> Result<(), Status> {
    // The batches of a pipeline lie one level deeper.
    let deeper = usize::from(TypeId::of::<U>() == TypeId::of::<PipelineRequest>());
    if message.len() > SCANNED && parts(message, deeper) > MOST_PARTS {
        let message =
            format!("the message has more than {MOST_PARTS} parts: split it into several requests");
        return Err(refuse(ErrorCode::BatchTooLarge, message));
    }
    Ok(())
}

/// Fields of a message, `deeper` levels down; of what is no message, those before it goes wrong, as prost will find.
fn parts(mut message: &[u8], deeper: usize) -> usize {
    let mut count = 0;
    while !message.is_empty() && count <= MOST_PARTS {
        let Ok((_, wire)) = decode_key(&mut message) else {
            break;
        };
        count += 1;
        let skip = match wire {
            WireType::Varint => decode_varint(&mut message).ok().map(|_| 0),
            WireType::SixtyFourBit => Some(8),
            WireType::ThirtyTwoBit => Some(4),
            WireType::LengthDelimited => decode_varint(&mut message).ok(),
            WireType::StartGroup | WireType::EndGroup => Some(0),
        };
        let Some(field) = skip.and_then(|length| message.get(..usize::try_from(length).ok()?))
        else {
            break;
        };
        if deeper > 0 && wire == WireType::LengthDelimited {
            count += parts(field, deeper - 1);
        }
        message = &message[field.len()..];
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::pipeline_request::Request;

    #[test]
    fn parts_are_counted_where_they_cost() {
        let batch = pb::BatchGetRequest {
            keys: vec![Bytes::new(); 5000],
            ..Default::default()
        };
        assert_eq!(parts(&batch.encode_to_vec(), 0), 5000);
        let pipelined = PipelineRequest {
            id: 7,
            request: Some(Request::BatchGet(batch)),
        };
        assert_eq!(parts(&pipelined.encode_to_vec(), 1), 5002);
        let value = pb::PutRequest {
            value: [10, 0].repeat(1 << 20).into(),
            ..Default::default()
        };
        assert_eq!(parts(&value.encode_to_vec(), 0), 1);
    }

    #[test]
    fn what_is_no_message_ends_the_count() {
        assert_eq!(parts(&[0xff; 100], 1), 0);
        assert_eq!(parts(&[10, 0xff, 0xff, 0xff, 0xff, 0x0f], 1), 1);
        assert_eq!(parts(&[8, 1, 9, 1, 2], 1), 2);
    }
}
