//! Compiles the contracts without a protoc (protox), and keeps their descriptor set for gRPC reflection, and what of
//! their options the generated code does not carry: the level that each method asks for.

use std::{env, error::Error, fmt::Write, fs, path::Path};

use prost_reflect::DescriptorPool;

const PROTO_ROOT: &str = "../../proto";
const FILES: [&str; 7] = [
    "aidb/v1/access.proto",
    "aidb/v1/common.proto",
    "aidb/v1/storage.proto",
    "aidb/v1/replication.proto",
    "aidb/v1/cluster.proto",
    "aidb/v1/node.proto",
    "aidb/v1/moving.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO_ROOT}");
    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(FILES)?;
    let out = env::var("OUT_DIR")?;
    let out = Path::new(&out);
    fs::write(
        out.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    fs::write(out.join("access.rs"), access(&compiler.descriptor_pool())?)?;
    let mut descriptors = compiler.file_descriptor_set();
    descriptors
        .file
        .retain(|file| !file.package().starts_with("google."));
    tonic_prost_build::configure()
        .bytes(".")
        // Most items of a batch have none, and it would be nine tenths of their size.
        .boxed(".aidb.v1.GetResult.error")
        .boxed(".aidb.v1.WriteResult.error")
        .codec_path("crate::codec::Checked")
        .compile_fds(descriptors)?;
    Ok(())
}

/// `[(path, level)]` of all methods, as Rust.
fn access(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let option = pool
        .get_extension_by_name("aidb.v1.access")
        .ok_or("access.proto defines no option `access`")?;
    let mut table = String::from("&[");
    for service in pool.services() {
        for method in service.methods() {
            let options = method.options();
            let level = options.get_extension(&option).as_enum_number().unwrap_or(0);
            let (service, method) = (service.full_name(), method.name());
            write!(table, "(\"/{service}/{method}\", {level}),")?;
        }
    }
    table.push(']');
    Ok(table)
}
