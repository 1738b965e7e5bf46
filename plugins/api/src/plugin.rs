//! What a plugin in Rust needs beside the contract: to follow the daemon over its restarts, and to
//! be one of its filters.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use zbus::Connection;

use crate::filter::FilterObject;
use crate::{Answer, Error, Event, Events, NAME, PATH, Said};

/// Most messages that wait while a plugin does something else. Full: the bus keeps what follows.
const QUEUE: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not zero");

/// How long the bus and the daemon may take to answer; both do at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The exit code of a plugin without a bus, as `wstreamctl` has it.
const EXIT_BUS: u8 = 3;

/// Why a plugin cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// There is none, or it does not let us in.
    #[error(
        "cannot connect to the session bus: start this inside a desktop session, or have wstreamd start it"
    )]
    NoBus(#[source] zbus::Error),
    /// The bus has gone, and with it the session.
    #[error("the session bus has gone: start this again when there is one")]
    BusLost,
    /// The daemon does not take the filter.
    #[error("{}", .0.message())]
    Refused(Error),
}

/// A plugin's connection: what the daemon says, and the plugin's filters, which are named to the
/// daemon again whenever it has been started anew. Neither starts the daemon.
#[derive(Debug)]
pub struct Plugin {
    connection: Connection,
    events: Events,
    filters: Vec<Registration>,
    /// A daemon has come that does not know the filters yet.
    to_register: bool,
}

#[derive(Debug)]
struct Registration {
    path: String,
    priority: i32,
    timeout_ms: u32,
}

impl Plugin {
    /// Connects to the session bus.
    pub async fn connect() -> Result<Self, PluginError> {
        let connecting = async {
            let builder = zbus::connection::Builder::session();
            Self::on(builder.max_queued(QUEUE).build().await?).await
        };
        match tokio::time::timeout(ANSWER_LIMIT, connecting).await {
            Ok(connected) => connected.map_err(PluginError::NoBus),
            Err(_) => {
                let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(PluginError::NoBus(late.into()))
            }
        }
    }

    /// On a connection that is there already.
    pub async fn on(connection: Connection) -> zbus::Result<Self> {
        let events = Events::new(&connection).await?;
        Ok(Plugin {
            connection,
            events,
            filters: Vec::new(),
            to_register: false,
        })
    }

    /// The connection, for proxies such as [`DictationProxy`](crate::DictationProxy).
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether the daemon runs.
    pub fn daemon_runs(&self) -> bool {
        self.events.owner().is_some()
    }

    /// Has every final that has text pass through `filter`, behind the filters of lower priority.
    /// One that takes longer than `timeout` is passed over. Answers when the daemon, if it runs,
    /// knows the filter; [`next`](Plugin::next) tells it to the daemons that come later.
    pub async fn add_filter<F, A>(
        &mut self,
        priority: i32,
        timeout: Duration,
        filter: F,
    ) -> Result<(), PluginError>
    where
        F: FnMut(Said) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let path = format!("/org/wstream/Filter{}", self.filters.len() + 1);
        let server = self.connection.object_server();
        let added = server.at(path.as_str(), FilterObject::new(filter)).await;
        added.map_err(|error| PluginError::Refused(Error::Bus(error)))?;
        self.filters.push(Registration {
            path,
            priority,
            timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
        });
        self.register(self.filters.len() - 1).await
    }

    /// Waits for the next event. May be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Result<Event, PluginError> {
        if !self.to_register {
            let event = match self.events.next().await {
                Some(Ok(event)) => event,
                Some(Err(_)) | None => return Err(PluginError::BusLost),
            };
            if event != Event::Appeared {
                return Ok(event);
            }
            self.to_register = true;
        }
        for index in 0..self.filters.len() {
            self.register(index).await?;
        }
        self.to_register = false;
        Ok(Event::Appeared)
    }

    async fn register(&self, index: usize) -> Result<(), PluginError> {
        let Registration {
            path,
            priority,
            timeout_ms,
        } = &self.filters[index];
        // To its unique name: a call to the well-known one would start the daemon.
        let Some(owner) = self.events.owner() else {
            return Ok(());
        };
        let path = zbus::ObjectPath::try_from(path.as_str())
            .map_err(|error| PluginError::Refused(Error::Bus(error)))?;
        let arguments = (path, *priority, *timeout_ms);
        let call =
            self.connection
                .call_method(Some(owner), PATH, Some(NAME), "AddFilter", &arguments);
        match tokio::time::timeout(ANSWER_LIMIT, call).await {
            Ok(Err(zbus::Error::MethodError(name, text, _))) if name.as_str().starts_with(NAME) => {
                let error = Error::from_name(name.as_str(), text.unwrap_or_default());
                Err(PluginError::Refused(error))
            }
            Ok(Err(zbus::Error::FDO(error)))
                if matches!(*error, zbus::fdo::Error::UnknownMethod(_)) =>
            {
                Err(PluginError::Refused(Error::Bus(zbus::Error::FDO(error))))
            }
            // It left meanwhile, or hangs: there will be another one.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// A whole plugin: calls `on_event` with everything that the daemon says, for as long as there is
/// a session bus, over restarts of the daemon. Give the result to `main`.
///
/// ```no_run
/// use wstream_api::Event;
///
/// fn main() -> std::process::ExitCode {
///     wstream_api::run(|event| {
///         if let Event::Final { text, .. } = event {
///             println!("{text}");
///         }
///     })
/// }
/// ```
pub fn run(mut on_event: impl FnMut(Event)) -> ExitCode {
    run_async(async || {
        let mut plugin = Plugin::connect().await?;
        loop {
            on_event(plugin.next().await?);
        }
        #[allow(unreachable_code, reason = "it tells the type of the error")]
        Ok::<(), PluginError>(())
    })
}

/// A whole filter, which is asked about every final that has text. See [`Plugin::add_filter`].
///
/// ```no_run
/// use std::time::Duration;
/// use wstream_api::Answer;
///
/// fn main() -> std::process::ExitCode {
///     wstream_api::run_filter(10, Duration::from_millis(200), |said| {
///         Answer::text(said.text.replace("W stream", "wstream"))
///     })
/// }
/// ```
pub fn run_filter(
    priority: i32,
    timeout: Duration,
    mut filter: impl FnMut(Said) -> Answer + Send + Sync + 'static,
) -> ExitCode {
    run_async(async move || {
        let mut plugin = Plugin::connect().await?;
        let answering = move |said| std::future::ready(filter(said));
        plugin.add_filter(priority, timeout, answering).await?;
        loop {
            plugin.next().await?;
        }
        #[allow(unreachable_code, reason = "it tells the type of the error")]
        Ok::<(), PluginError>(())
    })
}

/// Runs a plugin that awaits other things as well, on one thread; says why it ended, and makes an
/// exit code of it: 3 where the bus is the cause, as [`std::error::Error::source`] tells it, else 1.
pub fn run_async<E>(plugin: impl AsyncFnOnce() -> Result<(), E>) -> ExitCode
where
    E: Into<Box<dyn std::error::Error>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let error: Box<dyn std::error::Error> = match runtime {
        Ok(runtime) => match runtime.block_on(plugin()) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => error.into(),
        },
        Err(error) => error.into(),
    };
    let name = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&name)
        .file_name()
        .unwrap_or_default()
        .display();
    let mut sentence = error.to_string();
    let mut code = ExitCode::FAILURE;
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    while let Some(error) = cause {
        if let Some(PluginError::NoBus(_) | PluginError::BusLost) = error.downcast_ref() {
            code = EXIT_BUS.into();
        }
        // Errors of others may repeat their cause's text in their own.
        let text = error.to_string();
        if !sentence.contains(&text) {
            sentence.push_str(&format!(" ({text})"));
        }
        cause = error.source();
    }
    // Where that fails, there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{name}: {sentence}");
    code
}
