//! The messages and services of `proto/aidb/v1`. All `bytes` fields are `Bytes`: a decoded one shares the network
//! buffer it came in and keeps all of it alive, so what is stored must be copied first.

#![allow(missing_docs, clippy::all)]

tonic::include_proto!("aidb.v1");

/// For gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
