//! Word error rate, and its difference between two ways of decoding the same files.

/// Errors of one file; both sides compared with the same reference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Errors {
    /// Words of the reference.
    pub words: usize,
    pub ours: usize,
    /// Of the one that we are compared with.
    pub theirs: usize,
}

/// Errors as a percentage of words, pooled; `None` without words.
pub fn percent(files: &[Errors], count: impl Fn(&Errors) -> usize) -> Option<f64> {
    let words: usize = files.iter().map(|file| file.words).sum();
    let errors: usize = files.iter().map(count).sum();
    (words > 0).then(|| 100.0 * errors as f64 / words as f64)
}

/// How many times the bootstrap draws; more does not move the second digit.
const DRAWS: usize = 2000;

/// Our rate minus theirs in percentage points: 95 % interval, by paired bootstrap over files.
pub fn difference(files: &[Errors]) -> Option<(f64, f64)> {
    percent(files, |file| file.ours)?;
    let mut dice = Dice(1);
    let mut draws = Vec::with_capacity(DRAWS);
    while draws.len() < DRAWS {
        let sample: Vec<Errors> = files
            .iter()
            .map(|_| files[(dice.roll() % files.len() as u64) as usize])
            .collect();
        // A draw of files without words says nothing.
        if let (Some(ours), Some(theirs)) = (
            percent(&sample, |file| file.ours),
            percent(&sample, |file| file.theirs),
        ) {
            draws.push(ours - theirs);
        }
    }
    draws.sort_by(f64::total_cmp);
    Some((draws[DRAWS / 40], draws[DRAWS - 1 - DRAWS / 40]))
}

/// SplitMix64: the same draws in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(words: usize, ours: usize, theirs: usize) -> Errors {
        Errors {
            words,
            ours,
            theirs,
        }
    }

    #[test]
    fn rates_are_pooled_over_words() {
        let files = [errors(10, 1, 0), errors(30, 1, 2)];
        assert_eq!(percent(&files, |file| file.ours), Some(5.0));
        assert_eq!(percent(&files, |file| file.theirs), Some(5.0));
        assert_eq!(percent(&[], |file| file.ours), None);
        assert_eq!(difference(&[]), None);
    }

    #[test]
    fn the_interval_holds_the_difference() {
        // Always two points worse: no doubt at all.
        let (low, high) = difference(&vec![errors(50, 3, 2); 20]).unwrap();
        assert!((low - 2.0).abs() < 1e-9 && (high - 2.0).abs() < 1e-9);
        // As often better as worse: the interval holds zero and is some points wide.
        let mixed: Vec<Errors> = (0..40).map(|i| errors(10, i % 2, 1 - i % 2)).collect();
        let (low, high) = difference(&mixed).unwrap();
        assert!(low < -1.0 && high > 1.0, "{low} {high}");
    }
}
