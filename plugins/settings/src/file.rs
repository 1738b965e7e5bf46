use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::de::DeserializeOwned;

use crate::{Settings, SettingsError};

/// Larger than any sensible file; a wrong path should not be read into memory.
const MAX_BYTES: u64 = 1024 * 1024;

/// The folder of the user's configuration; `None` where the user has no home.
pub fn config_dir() -> Option<PathBuf> {
    let project = directories::ProjectDirs::from("", "", "wstream")?;
    Some(project.config_dir().to_owned())
}

/// What tells that a file is another one than before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp(Option<(SystemTime, u64)>);

impl Stamp {
    /// That of the file at `path`, which need not exist.
    pub fn of(path: &Path) -> Self {
        let metadata = std::fs::metadata(path).ok();
        Stamp(metadata.and_then(|m| Some((m.modified().ok()?, m.len()))))
    }
}

/// A plugin's file, and when it was read.
#[derive(Debug)]
pub struct File<T> {
    path: PathBuf,
    /// As it was when it was last read.
    stamp: Stamp,
    settings: PhantomData<fn() -> T>,
}

impl<T: Settings> File<T> {
    /// The file at `path`.
    pub fn at(path: PathBuf) -> Self {
        File {
            path,
            stamp: Stamp::default(),
            settings: PhantomData,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads and checks it; a missing file means the defaults.
    pub fn load(&mut self) -> Result<T, SettingsError> {
        self.stamp = Stamp::of(&self.path);
        let Some(text) = read(&self.path)? else {
            return Ok(T::default());
        };
        let settings: T = parse_named(&self.path, &text)?;
        settings.check().map_err(|bad| SettingsError::Value {
            path: self.path.clone(),
            bad,
        })?;
        Ok(settings)
    }

    /// As [`load`](File::load), if the file has changed since.
    pub fn load_if_changed(&mut self) -> Option<Result<T, SettingsError>> {
        (Stamp::of(&self.path) != self.stamp).then(|| self.load())
    }
}

/// The text of the file at `path`; `None` where there is none.
pub fn read(path: &Path) -> Result<Option<String>, SettingsError> {
    let failed = |source| SettingsError::Read {
        path: path.to_owned(),
        source,
    };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if metadata.len() > MAX_BYTES => {
            return Err(failed(std::io::Error::other("over 1 MiB")));
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(path).map(Some).map_err(failed)
}

/// Parses `text`, which is that of the file at `path`.
pub fn parse_named<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, SettingsError> {
    toml::from_str(text).map_err(|error| {
        let problem = error.to_string();
        SettingsError::Parse(format!("{}: {}", path.display(), problem.trim_end()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BadValue;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        times: u32,
    }

    impl Settings for Sample {
        const NAME: &'static str = "sample";
        const DEFAULT_TEXT: &'static str = "#times = 0\n";

        fn check(&self) -> Result<(), BadValue> {
            BadValue::unless_in("times", self.times, 0..=5)
        }
    }

    #[test]
    fn a_file_is_read_when_it_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sample.toml");
        let mut file = File::<Sample>::at(path.clone());
        assert_eq!(file.load().unwrap(), Sample { times: 0 });
        assert!(file.load_if_changed().is_none());
        std::fs::write(&path, "times = 3\n").unwrap();
        let changed = file.load_if_changed().expect("it has changed");
        assert_eq!(changed.unwrap(), Sample { times: 3 });
        assert!(file.load_if_changed().is_none());
        std::fs::remove_file(&path).unwrap();
        let changed = file.load_if_changed().expect("it has gone");
        assert_eq!(changed.unwrap(), Sample { times: 0 });
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sample.toml");
        for (text, parts) in [
            ("time = 3\n", vec!["sample.toml", "line 1", "^", "times"]),
            ("times = \"x\"\n", vec!["line 1", "^"]),
            ("times = 9\n", vec!["sample.toml: times = 9", "use 0 to 5"]),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = File::<Sample>::at(path.clone()).load().unwrap_err();
            for part in parts {
                assert!(error.to_string().contains(part), "{error}");
            }
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let error = File::<Sample>::at(path).load().unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }
}
