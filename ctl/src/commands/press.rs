//! `wstreamctl press`

use clap::Args;

use crate::bus::{Bus, OPEN_LIMIT, answer};
use crate::cli::SessionOptions;
use crate::failure::Failure;
use crate::output;

/// The key for dictation was pressed: a tap starts or stops, and held it is push-to-talk
///
/// Bind it to pressing a key, and `wstreamctl release` to letting it go. A key that repeats does no
/// harm. How long a key must be held is `hold_ms` under [session] in the configuration. Prints the
/// state after it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    bindsym --no-repeat Mod4+x exec wstreamctl press       in the configuration of sway
    bindsym --release Mod4+x exec wstreamctl release")]
pub(crate) struct Press {
    #[command(flatten)]
    options: SessionOptions,
}

impl Press {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        let pressing = bus.dictation.press(self.options.to_map_with_desktop());
        let state = answer("Press", OPEN_LIMIT, pressing).await?;
        output::line(&state)
    }
}
