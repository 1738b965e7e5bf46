//! Where the daemon and the engine both look for models, and what a model's file is called.

use std::path::{Path, PathBuf};

/// The folder that models lie in: `$WSTREAM_MODELS_DIR`, else `wstream/models` in the user's data
/// folder (`$XDG_DATA_HOME`, `~/.local/share`). `None` where the user has no home.
pub fn models_dir() -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os("WSTREAM_MODELS_DIR").filter(|dir| !dir.is_empty()) {
        return Some(PathBuf::from(dir));
    }
    let project = directories::ProjectDirs::from("", "", "wstream")?;
    Some(project.data_dir().join("models"))
}

/// The file of the model called `name` (`tiny.en`, `base-q8_0`, …) in `dir`.
pub fn model_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("ggml-{name}.bin"))
}

/// The model's name if `file_name` is that of a model's file.
pub fn model_name(file_name: &str) -> Option<&str> {
    let name = file_name.strip_prefix("ggml-")?.strip_suffix(".bin")?;
    is_model_name(name).then_some(name)
}

/// Whether `name` can be a model's: letters, digits, `.`, `_` and `-`, not starting with a dot.
/// Anything else could leave the models folder.
pub fn is_model_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The names of the models in `dir`, sorted; empty where there is no such folder.
pub fn installed_models(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| model_name(entry.file_name().to_str()?).map(str::to_owned))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_never_leaves_the_folder() {
        for bad in ["", ".", "..", "../x", "a/b", ".hidden", "a b", "é", "a\0"] {
            assert!(!is_model_name(bad), "{bad:?}");
        }
        for good in ["tiny.en", "base", "large-v3-turbo-q8_0"] {
            assert!(is_model_name(good), "{good:?}");
            let file = model_path(Path::new("/m"), good);
            let file_name = file.file_name().and_then(|name| name.to_str());
            assert_eq!(file_name.and_then(model_name), Some(good));
        }
        assert_eq!(model_name("ggml-tiny.en.bin.part"), None);
    }
}
