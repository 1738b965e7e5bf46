//! Whether this processor can run what whisper.cpp was compiled to.
//!
//! Enters: what the processor has. Leaves: nothing, or the sentence that says what it lacks.
//! Must be asked before the model is touched: the first instruction that is missing would end the
//! process with SIGILL. Called once, on the main thread.

/// What the compiled library needs of an x86-64 processor; `.cargo/config.toml` chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// 256-bit float arithmetic.
    pub avx: bool,
    /// 256-bit integer arithmetic.
    pub avx2: bool,
    /// Fused multiply and add.
    pub fma: bool,
    /// Conversion of half-precision floats.
    pub f16c: bool,
    /// Bit manipulation, second set.
    pub bmi2: bool,
}

/// The processor lacks instructions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this processor lacks {0}: local transcription needs one from about 2015 or later; \
     use a remote server instead"
)]
pub struct CpuUnsupported(pub String);

impl Features {
    /// What the processor that runs this has.
    #[cfg(target_arch = "x86_64")]
    pub fn of_this_machine() -> Features {
        Features {
            avx: is_x86_feature_detected!("avx"),
            avx2: is_x86_feature_detected!("avx2"),
            fma: is_x86_feature_detected!("fma"),
            f16c: is_x86_feature_detected!("f16c"),
            bmi2: is_x86_feature_detected!("bmi2"),
        }
    }

    /// Other architectures are compiled for their baseline, which every machine of theirs has.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn of_this_machine() -> Features {
        Features {
            avx: true,
            avx2: true,
            fma: true,
            f16c: true,
            bmi2: true,
        }
    }
}

/// Refuses a processor that lacks any of them, naming all that it lacks.
pub fn check(features: Features) -> Result<(), CpuUnsupported> {
    let missing: Vec<&str> = [
        (features.avx, "AVX"),
        (features.avx2, "AVX2"),
        (features.fma, "FMA"),
        (features.f16c, "F16C"),
        (features.bmi2, "BMI2"),
    ]
    .into_iter()
    .filter_map(|(has, name)| (!has).then_some(name))
    .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(CpuUnsupported(missing.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Features = Features {
        avx: true,
        avx2: true,
        fma: true,
        f16c: true,
        bmi2: true,
    };

    #[test]
    fn names_everything_that_is_missing() {
        assert_eq!(check(ALL), Ok(()));
        let sandy_bridge = Features {
            avx2: false,
            fma: false,
            f16c: false,
            bmi2: false,
            ..ALL
        };
        let error = check(sandy_bridge).unwrap_err();
        assert_eq!(error.0, "AVX2, FMA, F16C, BMI2");
        assert!(error.to_string().starts_with("this processor lacks AVX2"));
        for features in [
            Features { avx: false, ..ALL },
            Features { avx2: false, ..ALL },
            Features { fma: false, ..ALL },
            Features { f16c: false, ..ALL },
            Features { bmi2: false, ..ALL },
        ] {
            assert!(check(features).is_err(), "{features:?}");
        }
    }
}
