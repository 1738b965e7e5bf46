//! Whether words were lost or doubled where a long speech was cut into finals.

use std::collections::HashSet;

use super::align::{Pair, align};

/// Words of the reference on each side of a cut that count as near it.
const NEAR: usize = 3;

/// What happened at the cuts, and elsewhere for comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cuts {
    pub cuts: usize,
    /// Words of the reference near a cut, and errors there.
    pub near_words: usize,
    pub near_errors: usize,
    pub far_words: usize,
    pub far_errors: usize,
    /// Words near a cut that are missing, though offline decoding has them; with their place.
    pub lost: Vec<(usize, String)>,
    /// Words added at a cut that stand on its other side too.
    pub doubled: Vec<(usize, String)>,
}

/// `parts` are the words of the finals in order, `offline` what the same weights make of the same
/// speech without cuts.
pub fn cuts(said: &[String], parts: &[Vec<String>], offline: &[String]) -> Cuts {
    let heard: Vec<String> = parts.concat();
    let pairs = align(said, &heard);
    let known: HashSet<usize> = align(said, offline)
        .into_iter()
        .filter_map(|pair| match pair {
            (Some(i), Some(j)) if said[i] == offline[j] => Some(i),
            _ => None,
        })
        .collect();
    // A cut lies before the word of the finals with this index.
    let mut edges = Vec::new();
    let mut end = 0;
    for part in parts.iter().filter(|part| !part.is_empty()) {
        end += part.len();
        edges.push(end);
    }
    edges.pop();
    // The same edges as places in the reference: behind the last word of it that was paired before.
    let edges_said: Vec<usize> = edges.iter().map(|&edge| place(&pairs, edge)).collect();
    let mut found = Cuts {
        cuts: edges.len(),
        ..Cuts::default()
    };
    let mut at = 0;
    for pair in pairs {
        at = pair.0.unwrap_or(at);
        let near = edges_said
            .iter()
            .any(|&edge| at + NEAR >= edge && at < edge + NEAR);
        let wrong = match pair {
            (Some(i), Some(j)) => said[i] != heard[j],
            _ => true,
        };
        let (words, errors) = if near {
            (&mut found.near_words, &mut found.near_errors)
        } else {
            (&mut found.far_words, &mut found.far_errors)
        };
        *words += usize::from(pair.0.is_some());
        *errors += usize::from(wrong);
        match pair {
            (Some(i), None) if near && known.contains(&i) => {
                found.lost.push((i, said[i].clone()));
            }
            (None, Some(j)) if is_double(&heard, &edges, j) => {
                found.doubled.push((at, heard[j].clone()));
            }
            _ => {}
        }
    }
    found
}

/// Where an edge of the finals lies in the reference.
fn place(pairs: &[Pair], edge: usize) -> usize {
    let before = pairs
        .iter()
        .filter(|pair| pair.1.is_some_and(|j| j < edge))
        .filter_map(|pair| pair.0)
        .next_back();
    before.map_or(0, |i| i + 1)
}

/// Whether the added word `heard[j]` is near an edge and stands on the edge's other side too.
fn is_double(heard: &[String], edges: &[usize], j: usize) -> bool {
    edges.iter().any(|&edge| {
        let other = if j < edge {
            edge..(edge + NEAR).min(heard.len())
        } else {
            edge.saturating_sub(NEAR)..edge
        };
        j + NEAR >= edge && j < edge + NEAR && heard[other].contains(&heard[j])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn of(said: &str, parts: &[&str], offline: &str) -> Cuts {
        let parts: Vec<Vec<String>> = parts.iter().map(|part| words(part)).collect();
        cuts(&words(said), &parts, &words(offline))
    }

    const SAID: &str = "a b c d e f g h i j k l";

    #[test]
    fn a_clean_cut_loses_nothing() {
        let clean = of(SAID, &["a b c d e f", "", "g h i j k l"], SAID);
        assert_eq!((clean.cuts, clean.near_errors, clean.far_errors), (1, 0, 0));
        assert_eq!((clean.near_words, clean.far_words), (6, 6));
        assert!(clean.lost.is_empty() && clean.doubled.is_empty());
    }

    #[test]
    fn lost_and_doubled_words_are_named() {
        let lost = of(SAID, &["a b c d e", "g h i j k l"], SAID);
        assert_eq!(lost.lost, [(5, "f".to_owned())]);
        // Offline decoding does not hear it either: not the cut's fault.
        let deaf = of(SAID, &["a b c d e", "g h i j k l"], "a b c d e g h i j k l");
        assert!(deaf.lost.is_empty() && deaf.near_errors == 1);
        let doubled = of(SAID, &["a b c d e f", "f g h i j k l"], SAID);
        assert_eq!(doubled.doubled.len(), 1, "{doubled:?}");
        assert_eq!(doubled.doubled[0].1, "f");
        // Far from the cut.
        let far = of(SAID, &["a b c d e f", "g h i j l"], SAID);
        assert!(far.lost.is_empty() && far.far_errors == 1);
    }
}
