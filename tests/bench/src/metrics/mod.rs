//! Figures from what was seen and what was said. No input or output; data in, numbers out.

pub mod align;
pub mod cuts;
pub mod display;
pub mod erasure;
pub mod error_rate;
pub mod loops;
pub mod spread;
pub mod timing;
pub mod trace;
