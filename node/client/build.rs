//! Compiles the contracts without a protoc (protox), and keeps their descriptor set for gRPC reflection.

use std::{env, error::Error, fs, path::Path};

use prost::Message;

const PROTO_ROOT: &str = "../../proto";
const FILES: [&str; 5] = [
    "aidb/v1/common.proto",
    "aidb/v1/storage.proto",
    "aidb/v1/replication.proto",
    "aidb/v1/cluster.proto",
    "aidb/v1/node.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    let descriptors = protox::compile(FILES, [PROTO_ROOT])?;
    let out = env::var("OUT_DIR")?;
    fs::write(
        Path::new(&out).join("descriptors.bin"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("crate::codec::Checked")
        .compile_fds(descriptors)?;
    Ok(())
}
