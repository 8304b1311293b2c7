//! Where servers run: the Python that has them, and a directory for their data that goes away at the end.

use std::path::PathBuf;

use crate::cluster::Place;

#[derive(Clone, Debug, clap::Args)]
pub struct PlaceOptions {
    /// A Python with the project and its native module, built with PROFILE=release.
    #[arg(long, default_value = ".venv/bin/python")]
    python: PathBuf,
    /// Data and logs go below it, and away at the end.
    #[arg(long, default_value = "target")]
    dir: PathBuf,
}

impl PlaceOptions {
    /// The place, and what removes it.
    pub fn make(&self) -> Result<(Place, tempfile::TempDir), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.dir.display());
        let dir = tempfile::Builder::new()
            .prefix("bench-cluster-")
            .tempdir_in(&self.dir)
            .map_err(failed)?;
        let place = Place {
            python: std::path::absolute(&self.python).map_err(failed)?,
            dir: std::path::absolute(dir.path()).map_err(failed)?,
        };
        Ok((place, dir))
    }
}
