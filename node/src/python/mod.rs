//! The extension module `aidb_node._native`: servers hosted in a Python process, and the embedded store.
//!
//! Everything that waits runs without the GIL, and nothing here calls into Python from another thread.

mod failure;
mod inspect;
mod log;
mod observed;
mod scan;
mod server;
mod store;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<server::Server>()?;
    module.add_class::<server::Grant>()?;
    module.add_class::<server::Event>()?;
    module.add_class::<server::PinnedImport>()?;
    module.add_class::<observed::Observed>()?;
    module.add_class::<store::Store>()?;
    module.add_class::<scan::Scan>()?;
    module.add_class::<log::LogRecords>()?;
    inspect::add(module)?;
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    module.add(
        "BUILD_PROFILE",
        if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
    )
}
