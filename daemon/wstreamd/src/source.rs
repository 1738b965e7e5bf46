//! Where sound comes from: a microphone, or a descriptor that a client handed over.
