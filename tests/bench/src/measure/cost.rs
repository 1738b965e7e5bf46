//! What the text took of the machine, as lines of the table.

use serde_json::Value;

use crate::figures::Figures;
use crate::play::Take;
use crate::station::Used;

/// What the run took of the machine, and what the engine says of its decoding.
pub fn use_figures(take: &Take, figures: &mut Figures) {
    let sound_s: f64 = take.runs.iter().map(|run| run.seconds).sum();
    let sum = |value: fn(&Used) -> f64| take.used.iter().map(value).sum::<f64>();
    figures.value("sound", "sound, s", sound_s);
    figures.value("wall", "wall time, s", take.wall_s);
    figures.value(
        "cpu",
        "CPU seconds per second of sound",
        sum(|used| used.cpu_s) / sound_s,
    );
    let ms: f64 = take
        .runs
        .iter()
        .flat_map(|run| &run.utterances)
        .map(|utterance| {
            let partials = utterance.shown.iter().filter_map(|s| s.processing_ms);
            let last = utterance.finished.as_ref().and_then(|f| f.processing_ms);
            partials.sum::<f64>() + last.unwrap_or_default()
        })
        .sum();
    figures.value(
        "rtf",
        "decoding told in signals, s per s of sound",
        ms / 1000.0 / sound_s,
    );
    figures.value(
        "rss",
        "peak resident memory, MB",
        sum(|used| used.memory.rss_mb),
    );
    figures.value(
        "pss",
        "peak proportional memory, MB",
        sum(|used| used.memory.pss_mb),
    );
    let late: Vec<f64> = take.runs.iter().map(|run| run.worst_late_ms).collect();
    figures.spread("late", "worst lateness of the sound per file, ms", &late);
    let counters: Vec<&Value> = take
        .used
        .iter()
        .filter_map(|used| used.engine.as_ref())
        .collect();
    let total = |pointer: &str| -> Option<f64> {
        let numbers = counters.iter().filter_map(|c| c.pointer(pointer)?.as_f64());
        (!counters.is_empty()).then(|| numbers.sum())
    };
    let kinds = ["partial", "speculative", "final", "piece"];
    let ms: Option<f64> = kinds.iter().map(|kind| total(&format!("/ms/{kind}"))).sum();
    let ratio = |part: Option<f64>, whole: Option<f64>| {
        part.zip(whole)
            .filter(|(_, whole)| *whole > 0.0)
            .map(|(part, whole)| part / whole)
    };
    figures.value(
        "decode_rtf",
        "engine: decoding, s per s of sound",
        ms.map(|ms| ms / 1000.0 / sound_s),
    );
    figures.value(
        "discarded",
        "engine: share of decoding thrown away",
        ratio(total("/discarded_ms"), ms),
    );
    let hits = total("/ahead_hits");
    let asked = hits
        .zip(total("/ahead_misses"))
        .map(|(hits, misses)| hits + misses);
    figures.value(
        "ahead",
        "engine: finals ready ahead of time, share",
        ratio(hits, asked),
    );
    figures.value(
        "promoted",
        "engine: partials that became finals",
        total("/promoted"),
    );
    for kind in kinds {
        let label = format!("engine: decodes, {kind}");
        figures.value(
            &format!("decodes_{kind}"),
            &label,
            total(&format!("/decodes/{kind}")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::VALUE;
    use crate::metrics::trace::tests::{run, utterance};

    #[test]
    fn use_is_per_second_of_sound() {
        let mut run = run(vec![utterance(0.0, &[(1.0, "", "a")], None, (2.0, "a"))]);
        run.seconds = 10.0;
        run.utterances[0].shown[0].processing_ms = Some(200.0);
        run.utterances[0].finished.as_mut().unwrap().processing_ms = Some(300.0);
        let engine = serde_json::json!({
            "decodes": {"partial": 3, "speculative": 2, "final": 1, "piece": 0},
            "ms": {"partial": 600.0, "speculative": 300.0, "final": 100.0, "piece": 0.0},
            "discarded_ms": 250.0, "ahead_hits": 3, "ahead_misses": 1, "promoted": 2,
        });
        let take = Take {
            runs: vec![run],
            used: vec![Used {
                cpu_s: 5.0,
                engine: Some(engine),
                ..Used::default()
            }],
            ..Take::default()
        };
        let mut figures = Figures::default();
        use_figures(&take, &mut figures);
        for (key, expected) in [
            ("cpu", 0.5),
            ("rtf", 0.05),
            ("decode_rtf", 0.1),
            ("discarded", 0.25),
            ("ahead", 0.75),
            ("promoted", 2.0),
            ("decodes_partial", 3.0),
        ] {
            assert_eq!(figures.get(key, VALUE), Some(expected), "{key}");
        }
        // An engine that does not count.
        let mut silent = take.clone();
        silent.used[0].engine = None;
        let mut figures = Figures::default();
        use_figures(&silent, &mut figures);
        assert_eq!(figures.get("discarded", VALUE), None);
        assert_eq!(figures.get("cpu", VALUE), Some(0.5));
    }
}
