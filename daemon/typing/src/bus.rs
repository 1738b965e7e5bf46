//! A bus that is asked now and then, and may not be there.

use std::time::{Duration, Instant};

use zbus::Connection;
use zbus::connection::Builder;
use zbus::names::BusName;

/// A bus that is not there is looked for again after this.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Bus {
    /// `None`: the machine's.
    address: Option<String>,
    connection: Option<Connection>,
    /// When it was not there.
    absent: Option<Instant>,
}

impl Bus {
    pub(crate) fn at(address: Option<String>) -> Self {
        Bus {
            address,
            connection: None,
            absent: None,
        }
    }

    /// Asks on the bus, for as long as `limit`; what fails is asked anew on another connection the
    /// next time, and who is too late is taken to say nothing.
    pub(crate) async fn ask<T>(
        &mut self,
        limit: Duration,
        question: impl AsyncFn(&Connection) -> zbus::Result<Option<T>>,
    ) -> Option<T> {
        let asking = async {
            let connection = self.connect().await?;
            question(&connection).await
        };
        let answer = tokio::time::timeout(limit, asking).await;
        match answer {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) => tracing::debug!(%error, "what was asked on a bus failed"),
            Err(_) => tracing::debug!("who was asked on a bus does not answer"),
        }
        self.connection = None;
        None
    }

    async fn connect(&mut self) -> zbus::Result<Connection> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let is_recent = |absent: Instant| absent.elapsed() < AGAIN;
        if self.absent.is_some_and(is_recent) {
            return Err(zbus::Error::Failure("the bus is not there".to_owned()));
        }
        let builder = match &self.address {
            Some(address) => Builder::address(address.as_str()),
            None => Builder::system(),
        };
        // Until it is there; being too late counts as absent as well.
        self.absent = Some(Instant::now());
        let connection = builder.build().await?;
        self.absent = None;
        self.connection = Some(connection.clone());
        Ok(connection)
    }
}

/// Whether somebody has the name: asking one that nobody has would start a program.
pub(crate) async fn is_there(bus: &Connection, name: &'static str) -> zbus::Result<bool> {
    let names = zbus::fdo::DBusProxy::new(bus).await?;
    Ok(names.name_has_owner(BusName::try_from(name)?).await?)
}
