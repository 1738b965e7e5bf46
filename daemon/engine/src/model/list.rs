//! What models there are: those in the models folder, and those that can be fetched.

use std::path::Path;

use serde::Serialize;
use wstream_wire::files::{installed_models, model_path};

use super::catalog::CATALOG;
use super::disk::megabytes;
use super::ggml::inspect;

/// Both lists.
#[derive(Debug, Serialize)]
pub struct Models {
    /// The models folder.
    pub dir: String,
    /// What lies there.
    pub installed: Vec<Installed>,
    /// What can be fetched and is not there.
    pub available: Vec<Available>,
}

/// A model that is there.
#[derive(Debug, Serialize)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: String,
    /// The file's size.
    pub bytes: u64,
    /// How its big tensors are stored; `None` if the file is damaged.
    pub quantisation: Option<String>,
    /// Whether it knows other languages than English; `None` if the file is damaged.
    pub multilingual: Option<bool>,
    /// What is wrong with the file.
    pub fault: Option<String>,
}

/// A model that can be fetched.
#[derive(Debug, Serialize)]
pub struct Available {
    /// Its name.
    pub name: &'static str,
    /// The file's size.
    pub bytes: u64,
    /// How its big tensors are stored.
    pub quantisation: &'static str,
    /// Whether it knows other languages than English.
    pub multilingual: bool,
}

/// Looks into the folder `dir`.
pub fn list(dir: &Path) -> Models {
    let installed: Vec<Installed> = installed_models(dir)
        .into_iter()
        .map(|name| installed(dir, name))
        .collect();
    let available = CATALOG
        .iter()
        .filter(|entry| !installed.iter().any(|model| model.name == entry.name))
        .map(|entry| Available {
            name: entry.name,
            bytes: entry.bytes,
            quantisation: entry.format().as_str(),
            multilingual: entry.is_multilingual(),
        })
        .collect();
    Models {
        dir: dir.display().to_string(),
        installed,
        available,
    }
}

fn installed(dir: &Path, name: String) -> Installed {
    let path = model_path(dir, &name);
    let found = inspect(&path);
    let summary = found.as_ref().ok();
    Installed {
        name,
        bytes: std::fs::metadata(&path).map_or(0, |metadata| metadata.len()),
        path: path.display().to_string(),
        quantisation: summary.map(|summary| summary.format.to_string()),
        multilingual: summary.map(|summary| summary.dimensions.is_multilingual()),
        fault: found.as_ref().err().map(|error| super::chain(error)),
    }
}

impl Models {
    /// Both lists for people.
    pub fn table(&self) -> String {
        let mut table = match self.installed.is_empty() {
            true => format!("No model in {}.\n", self.dir),
            false => format!("In {}:\n", self.dir),
        };
        for model in &self.installed {
            table += &match (&model.fault, &model.quantisation, model.multilingual) {
                (None, Some(quantisation), Some(multilingual)) => {
                    row(&model.name, model.bytes, quantisation, multilingual)
                }
                (fault, ..) => {
                    let fault = fault.as_deref().unwrap_or("unusable");
                    format!("  {:<20} {fault}\n", model.name)
                }
            };
        }
        table += "\nTo be had with `wstreamctl model pull NAME`:\n";
        for model in &self.available {
            table += &row(
                model.name,
                model.bytes,
                model.quantisation,
                model.multilingual,
            );
        }
        table
    }
}

fn row(name: &str, bytes: u64, quantisation: &str, multilingual: bool) -> String {
    let languages = if multilingual {
        "all languages"
    } else {
        "English"
    };
    let size = megabytes(bytes);
    format!("  {name:<20} {size:>7}  {quantisation:<5} {languages}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_listed_with_its_fault() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ggml-tiny.bin"), b"<!DOCTYPE html>").unwrap();
        std::fs::write(dir.path().join("notes.txt"), b"").unwrap();
        let models = list(dir.path());
        assert_eq!(models.installed.len(), 1);
        assert_eq!(models.installed[0].quantisation, None);
        let table = models.table();
        assert!(
            table.contains("tiny                 the file is a web page"),
            "{table}"
        );
        assert!(!models.available.iter().any(|model| model.name == "tiny"));
        assert!(models.available.iter().any(|model| model.name == "base"));
    }
}
