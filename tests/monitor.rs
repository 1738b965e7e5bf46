use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use zbus::{Message, MessageStream};

use crate::Desktop;

/// How long a call that is waited for may take; far more than it does on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sees every message on a desktop's bus, whoever it is for.
#[derive(Debug)]
pub struct Monitor {
    messages: MessageStream,
}

/// A method call that went over the bus.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method's name.
    pub member: String,
    /// The whole message.
    pub message: Message,
}

impl Monitor {
    /// Watches the bus of `desktop` from now on.
    pub async fn new(desktop: &Desktop) -> Result<Self> {
        let connection = desktop.connect().await?;
        let messages = MessageStream::from(&connection);
        zbus::fdo::MonitoringProxy::new(&connection)
            .await?
            .become_monitor(&[], 0)
            .await?;
        Ok(Monitor { messages })
    }

    /// The next call of a method of `interface`.
    pub async fn call(&mut self, interface: &str) -> Result<Call> {
        let found = async {
            loop {
                let message = self.messages.next().await.context("the bus has gone")??;
                let header = message.header();
                let is_call = message.message_type() == zbus::message::Type::MethodCall;
                if is_call
                    && header
                        .interface()
                        .is_some_and(|name| name.as_str() == interface)
                {
                    let member = header
                        .member()
                        .context("a call has a name")?
                        .as_str()
                        .to_owned();
                    return Ok(Call { member, message });
                }
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .with_context(|| format!("no call of {interface} for {PATIENCE:?}"))?
    }

    /// Waits until a plugin that was just started follows the daemon: behind its match rules it
    /// asks the bus who the daemon is.
    pub async fn follows(&mut self) -> Result<()> {
        loop {
            let call = self.call("org.freedesktop.DBus").await?;
            let body = call.message.body();
            if call.member == "GetNameOwner" && body.deserialize::<&str>()? == wstream_api::NAME {
                return Ok(());
            }
        }
    }
}
