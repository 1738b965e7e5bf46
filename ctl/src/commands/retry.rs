//! `wstreamctl retry`

use clap::Args;
use wstream_api::Error as DaemonError;

use crate::bus::{ANSWER_LIMIT, Bus, answer};
use crate::event::Event;
use crate::failure::Failure;
use crate::interrupt::Interrupts;
use crate::output;
use crate::session::{Session, fault};

/// Transcribe what has failed because the server was away or refused
///
/// Its sound is kept in memory for an hour at most, and not more of it than `retry_s` in `[limits]`
/// says; `wstreamctl status` tells whether there is any. It is given to the backend that is chosen
/// now, and its texts are printed, a line for each. Choosing a backend does the same.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl retry
    wstreamctl backend local              gives it to the engine on this machine")]
pub(crate) struct Retry {}

impl Retry {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        if !bus.daemon_runs().await? {
            return output::line(super::status::STOPPED);
        }
        let mut interrupts = Interrupts::new()?;
        let mut events = bus.events().await?;
        let number = answer("Retry", ANSWER_LIMIT, bus.dictation.retry()).await?;
        if number == 0 {
            return output::line("nothing is kept");
        }
        let mut session = Session::new(Some(number));
        let mut failed = None;
        loop {
            let event = tokio::select! {
                event = events.next() => event?,
                // What comes later is still on the bus.
                _ = interrupts.next() => return Err(Failure::Interrupted),
            };
            if !session.takes(&event) {
                continue;
            }
            match event {
                Event::Final { text, .. } if !text.is_empty() => output::line(&text)?,
                Event::Failed { name, message, .. } => {
                    failed = Some(Failure::Daemon(DaemonError::from_name(&name, message)));
                }
                Event::Vanished => return Err(Failure::Vanished),
                Event::SessionEnded { details, .. } => {
                    fault(&details)?;
                    return failed.map_or(Ok(()), Err);
                }
                _ => {}
            }
        }
    }
}
