//! Converting a model that somebody else made: CTranslate2 (faster-whisper) or Hugging Face folders
//! to ggml.
//!
//! Enters: a folder. Leaves: a file in the models folder that whisper.cpp was seen to load and to
//! decode with, or nothing.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{CheckError, decodes};
use super::checkpoint::Checkpoint;
use super::ct2::{Ct2Error, Index};
use super::disk::{DiskError, NewFile};
use super::ggml::{self, Summary, WriteError};
use super::input::{Input, ReadAt, read_text};
use super::layout::Dimensions;
use super::quantize::Encoding;
use super::safetensors::{Folder, SafetensorsError, is_folder};
use super::tokens::{self, TokensError};

/// Why a folder was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Neither kind of model.
    #[error("{} has neither model.bin (CTranslate2) nor model.safetensors (Hugging Face): name the folder of a Whisper model", .0.display())]
    NoModel(PathBuf),
    /// Not a folder.
    #[error("{} is not a folder: import takes the folder of a CTranslate2 or Hugging Face model", .0.display())]
    NoFolder(PathBuf),
    /// No file with the vocabulary.
    #[error("{} has no vocabulary: put {expected} beside the model", dir.display())]
    NoVocabulary {
        /// The folder.
        dir: PathBuf,
        /// What is looked for.
        expected: &'static str,
    },
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The CTranslate2 model is unusable.
    #[error(transparent)]
    Ct2(#[from] Ct2Error),
    /// The Hugging Face model is unusable.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// The vocabulary is unusable.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The numbers cannot be read, or are none.
    #[error(transparent)]
    Write(WriteError),
    /// It cannot be written down.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The converted model does not work.
    #[error("the converted model does not work, nothing was kept")]
    Check(#[from] CheckError),
}

/// Bytes of a vocabulary file; `tokenizer.json` has 4 MB.
const MAX_VOCABULARY: u64 = 64 << 20;

/// Converts the model in the folder `source` to the file `path`.
pub fn import(source: &Path, path: &Path, encoding: Encoding) -> Result<Summary, ImportError> {
    let checkpoint = open(source)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let size = ggml::size(&checkpoint.dimensions, &checkpoint.words, encoding.format());
    let mut file = NewFile::create(dir, size)?;
    match ggml::write(&checkpoint, encoding, file.writer()) {
        Ok(()) => {}
        Err(WriteError::Write(source)) => return Err(file.error(source).into()),
        Err(error) => return Err(ImportError::Write(error)),
    }
    file.sync()?;
    let summary = decodes(file.path())?;
    file.finish(path)?;
    Ok(summary)
}

/// Opens the model in the folder `dir`, of whichever kind it is.
pub fn open(dir: &Path) -> Result<Checkpoint, ImportError> {
    if !dir.is_dir() {
        return Err(ImportError::NoFolder(dir.to_owned()));
    }
    if dir.join("model.bin").is_file() {
        return open_ct2(dir);
    }
    if is_folder(dir) {
        let folder = Folder::open(dir)?;
        let words = vocabulary(dir, HUGGING_FACE, &folder.dimensions)?;
        return Ok(folder.checkpoint(words)?);
    }
    Err(ImportError::NoModel(dir.to_owned()))
}

fn open_ct2(dir: &Path) -> Result<Checkpoint, ImportError> {
    let path = dir.join("model.bin");
    let read = |source| ImportError::Read {
        path: path.clone(),
        source,
    };
    let index = Index::read(&mut Input::open(&path).map_err(read)?)?;
    let source: Arc<dyn ReadAt> = Arc::new(File::open(&path).map_err(read)?);
    let dimensions = index.dimensions(source.as_ref())?;
    let words = vocabulary(dir, CTRANSLATE2, &dimensions)?;
    Ok(index.checkpoint(&source, words)?)
}

type Parse = fn(&str, &Dimensions) -> Result<Vec<Vec<u8>>, TokensError>;

/// Where a kind of folder may have its vocabulary, in the order in which it is looked for.
struct Vocabularies {
    files: &'static [(&'static str, Parse)],
    expected: &'static str,
}

const CTRANSLATE2: Vocabularies = Vocabularies {
    files: &[
        ("vocabulary.json", tokens::from_array),
        ("vocabulary.txt", tokens::from_lines),
        ("tokenizer.json", tokens::from_tokenizer),
    ],
    expected: "vocabulary.txt, vocabulary.json or tokenizer.json",
};

const HUGGING_FACE: Vocabularies = Vocabularies {
    files: &[
        ("vocab.json", tokens::from_numbers),
        ("tokenizer.json", tokens::from_tokenizer),
    ],
    expected: "vocab.json or tokenizer.json",
};

fn vocabulary(
    dir: &Path,
    vocabularies: Vocabularies,
    dimensions: &Dimensions,
) -> Result<Vec<Vec<u8>>, ImportError> {
    for (name, parse) in vocabularies.files {
        let path = dir.join(name);
        match read_text(&path, MAX_VOCABULARY) {
            Ok(text) => return Ok(parse(&text, dimensions)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ImportError::Read { path, source }),
        }
    }
    Err(ImportError::NoVocabulary {
        dir: dir.to_owned(),
        expected: vocabularies.expected,
    })
}

/// The name that a model from the folder `dir` gets: the folder's, without what packagers put in
/// front, and with the quantisation that it has afterwards. `None` if the folder's name cannot be a
/// model's.
pub fn default_name(dir: &Path, encoding: Encoding) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let name = dir.file_name()?.to_str()?;
    let name = ["faster-whisper-", "whisper-", "faster-", "openai-whisper-"]
        .into_iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    let name = match encoding {
        Encoding::F16 => name.to_owned(),
        encoding => format!("{name}-{}", encoding.format()),
    };
    wstream_wire::files::is_model_name(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_folders() {
        let dir = tempfile::tempdir().unwrap();
        for (folder, encoding, expected) in [
            ("faster-whisper-tiny.en", Encoding::F16, Some("tiny.en")),
            ("whisper-large-v3", Encoding::Q8_0, Some("large-v3-q8_0")),
            ("my-own", Encoding::F16, Some("my-own")),
            ("mit Leerzeichen", Encoding::F16, None),
        ] {
            let path = dir.path().join(folder);
            std::fs::create_dir(&path).unwrap();
            assert_eq!(default_name(&path, encoding).as_deref(), expected);
        }
    }

    #[test]
    fn folders_without_a_model() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        assert!(matches!(open(path), Err(ImportError::NoModel(_))));
        let file = path.join("model.bin");
        std::fs::write(&file, b"").unwrap();
        assert!(matches!(open(&file), Err(ImportError::NoFolder(_))));
        assert!(matches!(open(path), Err(ImportError::Ct2(_))));
        std::fs::remove_file(&file).unwrap();
        std::fs::write(path.join("model.safetensors"), b"").unwrap();
        assert!(matches!(open(path), Err(ImportError::Safetensors(_))));
        assert!(matches!(
            open(&path.join("gone")),
            Err(ImportError::NoFolder(_))
        ));
    }
}
