//! Signals with the moment of their arrival, from a thread that does nothing else.

use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};

/// Where the stamped signals come out; unread, because reading takes time.
pub type Arrivals = mpsc::UnboundedReceiver<(Instant, zbus::Message)>;

/// Follows the daemon on the bus at `address`; returns when nothing can be missed any more. The
/// thread ends with its bus.
pub async fn follow(address: &str) -> Result<Arrivals> {
    // A run has some thousands of signals, and they are read as they come.
    let (out, arrivals) = mpsc::unbounded_channel();
    let (ready, subscribed) = oneshot::channel();
    let address = address.to_owned();
    thread::Builder::new()
        .name("arrivals".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async move {
                let connection = zbus::connection::Builder::address(address.as_str())
                    .build()
                    .await?;
                let mut signals = wstream_tests::signals(&connection).await?;
                let _ = ready.send(());
                while let Some(Ok(message)) = signals.next().await {
                    if out.send((Instant::now(), message)).is_err() {
                        break;
                    }
                }
                anyhow::Ok(())
            })
        })?;
    subscribed.await.context("cannot follow the bus")?;
    Ok(arrivals)
}
