//! The attention heads that follow the sound.
//!
//! Enters: a model's sizes and name. Leaves: layers and heads of the decoder. The lists are facts
//! about the published models, found by OpenAI with their own word timing and published in
//! `whisper/__init__.py` (`_ALIGNMENT_HEADS`).

use crate::decode::file::Header;

/// A layer of the decoder, and a head in it.
pub(super) type Head = (usize, usize);

const TINY_EN: &[Head] = &[
    (1, 0),
    (2, 0),
    (2, 5),
    (3, 0),
    (3, 1),
    (3, 2),
    (3, 3),
    (3, 4),
];
const TINY: &[Head] = &[(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)];
const BASE_EN: &[Head] = &[(3, 3), (4, 7), (5, 1), (5, 5), (5, 7)];
#[rustfmt::skip]
const BASE: &[Head] = &[(3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)];
#[rustfmt::skip]
const SMALL_EN: &[Head] = &[
    (6, 6), (7, 0), (7, 3), (7, 8), (8, 2), (8, 5), (8, 7), (9, 0), (9, 4), (9, 8), (9, 10),
    (10, 0), (10, 1), (10, 2), (10, 3), (10, 6), (10, 11), (11, 2), (11, 4),
];
#[rustfmt::skip]
const SMALL: &[Head] = &[
    (5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5),
];
#[rustfmt::skip]
const MEDIUM_EN: &[Head] = &[
    (11, 4), (14, 1), (14, 12), (14, 14), (15, 4), (16, 0), (16, 4), (16, 9), (17, 12), (17, 14),
    (18, 7), (18, 10), (18, 15), (20, 0), (20, 3), (20, 9), (20, 14), (21, 12),
];
const MEDIUM: &[Head] = &[(13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4)];
#[rustfmt::skip]
const LARGE_V1: &[Head] = &[
    (9, 19), (11, 2), (11, 4), (11, 17), (22, 7), (22, 11), (22, 17), (23, 2), (23, 15),
];
#[rustfmt::skip]
const LARGE_V2: &[Head] = &[
    (10, 12), (13, 17), (16, 11), (16, 12), (16, 13), (17, 15), (17, 16), (18, 4), (18, 11),
    (18, 19), (19, 11), (21, 2), (21, 3), (22, 3), (22, 9), (22, 12), (23, 5), (23, 7), (23, 13),
    (25, 5), (26, 1), (26, 12), (27, 15),
];
#[rustfmt::skip]
const LARGE_V3: &[Head] = &[
    (7, 0), (10, 17), (12, 18), (13, 12), (16, 1), (17, 14), (19, 11), (21, 4), (24, 1), (25, 6),
];
const LARGE_V3_TURBO: &[Head] = &[(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)];

/// The heads of a model. The sizes tell all published models but large-v1 and large-v2 apart; one
/// that is none of them gets every head of the decoder's upper half, as whisper.cpp's
/// `N_TOP_MOST` does.
pub(super) fn alignment_heads(header: &Header, name: &str) -> Vec<Head> {
    let english = header.n_vocab == 51_864;
    let known = match (
        header.n_audio_layer,
        header.n_text_layer,
        header.n_text_state,
    ) {
        (4, 4, 384) if english => TINY_EN,
        (4, 4, 384) => TINY,
        (6, 6, 512) if english => BASE_EN,
        (6, 6, 512) => BASE,
        (12, 12, 768) if english => SMALL_EN,
        (12, 12, 768) => SMALL,
        (24, 24, 1024) if english => MEDIUM_EN,
        (24, 24, 1024) => MEDIUM,
        (32, 32, 1280) if header.n_mels == 128 => LARGE_V3,
        (32, 32, 1280) if name.starts_with("large-v1") => LARGE_V1,
        (32, 32, 1280) => LARGE_V2,
        (32, 4, 1280) => LARGE_V3_TURBO,
        _ => &[],
    };
    if !known.is_empty() {
        return known.to_vec();
    }
    let layers = header.n_text_layer as usize;
    (layers / 2..layers)
        .flat_map(|layer| (0..header.n_text_head as usize).map(move |head| (layer, head)))
        .collect()
}
