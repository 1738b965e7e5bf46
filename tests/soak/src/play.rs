//! Speech, pauses and noise, at their own pace.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::book::{Book, Spoken};
use crate::chance::Chance;
use crate::station::Station;

/// How much of what is played is noise.
const NOISE: f64 = 0.2;
/// How long the last final of a sound may take; the pause behind it is part of that.
const FINAL: Duration = Duration::from_secs(15);

/// Plays until the end has come.
pub(crate) async fn speech(
    station: &Station,
    book: &Book,
    mut chance: Chance,
    end: Instant,
) -> Result<()> {
    while Instant::now() < end {
        let is_noise = chance.share() < NOISE;
        let item = chance.of(if is_noise {
            &station.noise
        } else {
            &station.speech
        });
        let (from, toggles) = (Instant::now(), book.toggles());
        let was_listening = book.is_listening();
        station.play(&item.file).await?;
        let over = Instant::now();
        tokio::time::sleep(chance.between(0.8, 4.0)).await;
        book.until_all_have_ended(FINAL).await;
        let was_heard_whole = was_listening && book.toggles() == toggles;
        if was_heard_whole && !is_noise {
            let (heard, last) = book.heard_since(from);
            book.spoken.borrow_mut().push(Spoken {
                file: item.file.display().to_string(),
                said: item.said.clone(),
                heard,
                after: last.map(|last| last.saturating_duration_since(over)),
            });
        }
    }
    Ok(())
}
