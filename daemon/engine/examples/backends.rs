//! Times both backends side by side.
//!
//!     cargo run --release -p wstream-engine --example backends -- MODEL_FILE [ROUNDS]
//!
//! Prints the best of some rounds, which are taken in turns, with the machine and the commit.

#![allow(clippy::print_stdout, reason = "a table is what it is for")]

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use wstream_engine::decode::{BackendChoice, Model, timing};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("which model's file?")?;
    let rounds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let name = name.unwrap_or("unknown").trim_matches([' ', '\t', ':']);
    let commit = Command::new("git")
        .args([
            "-C",
            env!("CARGO_MANIFEST_DIR"),
            "describe",
            "--always",
            "--dirty",
        ])
        .output();
    let commit = commit.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    );
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("processor: {name}");
    println!("commit: {commit}");
    println!("load before: {}", load.trim());

    let native = Model::load_for(Path::new(&path), BackendChoice::Native)?;
    let whisper = Model::load_for(Path::new(&path), BackendChoice::Whisper)?;
    println!(
        "model: {}, best of {rounds}, milliseconds, whisper / native",
        native.name()
    );
    println!("positions threads         encode            token       64 tokens");
    for positions in [512, 768, 1024, 1500] {
        // As much sound as there is room for behind the slack that decoding keeps.
        let samples: Vec<f32> = (0..(positions - 64) * 320)
            .map(|i| {
                let t = i as f32 / 16_000.0;
                0.2 * (t * 900.0).sin() * (t * 12.0).sin() + 0.1 * (t * t * 300.0).sin()
            })
            .collect();
        for threads in [1, 2] {
            let mut best: Option<[timing::Times; 2]> = None;
            for _ in 0..rounds {
                let mut times = [&whisper, &native]
                    .map(|model| timing::measure(model, &samples, positions, threads, 1));
                let [whisper, native] = &mut times;
                let (Ok(whisper), Ok(native)) = (whisper, native) else {
                    anyhow::bail!("decoding failed");
                };
                let now = [*whisper, *native];
                best = Some(match best {
                    None => now,
                    Some(best) => [0, 1].map(|which| timing::Times {
                        encode_ms: best[which].encode_ms.min(now[which].encode_ms),
                        token_ms: best[which].token_ms.min(now[which].token_ms),
                        prompt_ms: best[which].prompt_ms.min(now[which].prompt_ms),
                    }),
                });
            }
            let Some([whisper, native]) = best else {
                anyhow::bail!("no rounds");
            };
            println!(
                "{positions:9} {threads:7} {:7.1} / {:6.1} {:7.2} / {:6.2} {:6.1} / {:6.1}",
                whisper.encode_ms,
                native.encode_ms,
                whisper.token_ms,
                native.token_ms,
                whisper.prompt_ms,
                native.prompt_ms,
            );
        }
    }
    Ok(())
}
