//! The keyboard map without a server.

use super::layout::{KeySyms, Layout, Type, SHIFT, LOCK};

#[test]
fn placeholder_removed_before_commit() {
    let _ = (KeySyms::default(), Layout::default(), Type::default(), SHIFT, LOCK);
}
