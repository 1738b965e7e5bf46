//! The transcription server around Whisper.
//!
//! Sound comes in over connections (`server`), each with a session (`session`) that decides what is
//! to be decoded; `scheduler` gives the decodes to threads, `decode` runs the model. `strategy` and
//! `text` are what sessions and decodes share. `offline` decodes whole files; `model` fetches, converts and
//! lists models.

pub mod decode;
pub mod model;
pub mod offline;
pub mod scheduler;
pub mod server;
pub mod session;
pub mod sound_file;
pub mod stats;
pub mod strategy;
pub mod system;
pub mod text;
