//! What `wstreamctl doctor` looks at. Each check gives findings; none prints, none changes a
//! setting, and no text that was dictated is in any of them.

pub(crate) mod desktop;
pub(crate) mod finding;
pub(crate) mod installed;
pub(crate) mod sound;
pub(crate) mod typing;
mod voice;
