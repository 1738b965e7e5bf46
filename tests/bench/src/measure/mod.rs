//! From a run to its figures.

mod cost;
mod latency;
mod text;

pub use cost::use_figures;
pub use latency::{display_figures, own_displays, timing_figures, timings};
pub use text::{Heard, partial_loops, text_figures};

pub use crate::metrics::timing::Timings;
