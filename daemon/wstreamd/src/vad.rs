//! Whether a frame holds voice.
