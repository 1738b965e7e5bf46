//! The notification server: the one place that knows notify-rust and the server's names on the bus.
//!
//! At most one call is under way at a time, and it is waited for until the bus itself gives an
//! answer or says that there will be none. So a server that hangs gets no second call, and none of
//! ours is answered late and forgotten; what is to be shown meanwhile is replaced by what is newer.

use std::time::Duration;

use notify_rust::{Hint, Notification, NotificationHandle, Timeout, Urgency};
use wstream_settings::complain;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::proxy::CacheProperties;

use crate::markup::{Abilities, texts};
use crate::settings::Settings;
use crate::view::{Kind, Note};

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// How long words are shown without newer ones, should this program be killed meanwhile.
const WORDS: Duration = Duration::from_secs(30);

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("the notification server cannot be asked: see whether one runs, such as dunst or mako")]
    Bus(#[from] zbus::Error),
    #[error("the notification server did not take the notification")]
    Notify(#[from] notify_rust::error::Error),
}

/// What is known of the server, and the notification that it shows.
#[derive(Debug)]
pub(crate) struct Server {
    connection: Connection,
    /// Who the server is, and what it can do; another one is asked anew.
    known: Option<(String, Abilities)>,
    shown: Option<NotificationHandle>,
    /// Whether it has been said that the server fails; said again only after it has worked.
    complained: bool,
}

impl Server {
    pub(crate) fn new(connection: Connection) -> Self {
        Server {
            connection,
            known: None,
            shown: None,
            complained: false,
        }
    }

    /// Shows `note` in place of the one before, or closes that.
    pub(crate) async fn show(&mut self, note: Option<&Note>, settings: &Settings) {
        let outcome = match note {
            Some(note) => self.notify(note, settings).await,
            None => self.close().await,
        };
        match outcome {
            Ok(()) => self.complained = false,
            Err(error) if !self.complained => {
                self.complained = true;
                let cause = std::error::Error::source(&error);
                let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
                complain::<Settings>(&format!("{error}{cause}"));
            }
            Err(_) => {}
        }
    }

    async fn notify(&mut self, note: &Note, settings: &Settings) -> Result<(), ServerError> {
        let abilities = self.abilities().await?;
        let characters = usize::try_from(settings.characters).unwrap_or(usize::MAX);
        let (title, body) = texts(note, abilities, characters);
        let mut notification = Notification::new();
        notification
            .appname("wstream")
            .summary(&title)
            .body(&body)
            .icon(match note.kind {
                Kind::Error => "dialog-warning",
                _ => "audio-input-microphone",
            })
            // GNOME shows nothing of low urgency, and leaves what is critical there for good.
            .urgency(Urgency::Normal)
            // The server's own clock is for the case that we end meanwhile.
            .timeout(match (note.kind, note.lasts) {
                (_, Some(lasts)) => Timeout::from(lasts),
                (Kind::Speaking, None) => Timeout::from(WORDS),
                (_, None) => Timeout::Never,
            });
        // What went wrong may be looked up later; what was said is nobody's business then.
        if note.kind != Kind::Error {
            notification.hint(Hint::Transient(true));
        }
        // By its number only: a tag beside it (`x-canonical-private-synchronous`) crashes mako 1.7.
        if let Some(shown) = &self.shown {
            notification.id(shown.id());
        }
        self.shown = Some(notification.show_async().await?);
        Ok(())
    }

    async fn close(&mut self) -> Result<(), ServerError> {
        let Some(shown) = self.shown.take() else {
            return Ok(());
        };
        // A server that has gone has taken the notification along, and must not be started for it.
        if self.is_known().await? {
            shown.close_async().await;
        }
        Ok(())
    }

    /// What the server can do; asks a server that was not there before.
    async fn abilities(&mut self) -> Result<Abilities, ServerError> {
        if self.is_known().await?
            && let Some((_, abilities)) = &self.known
        {
            return Ok(*abilities);
        }
        // Its numbers are not those of the one before.
        self.shown = None;
        self.known = None;
        let call = |method| {
            self.connection
                .call_method(Some(NAME), PATH, Some(NAME), method, &())
        };
        let capabilities: Vec<String> = call("GetCapabilities").await?.body().deserialize()?;
        let information = call("GetServerInformation").await?;
        let body = information.body();
        let (name, _, _, _): (&str, &str, &str, &str) = body.deserialize()?;
        let abilities = Abilities::new(&capabilities, name);
        if let Some(owner) = self.owner().await? {
            self.known = Some((owner, abilities));
        }
        Ok(abilities)
    }

    async fn is_known(&self) -> Result<bool, ServerError> {
        let owner = self.owner().await?;
        let known = self.known.as_ref().map(|(owner, _)| owner);
        Ok(owner.is_some() && owner.as_ref() == known)
    }

    async fn owner(&self) -> Result<Option<String>, ServerError> {
        let bus = DBusProxy::builder(&self.connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let name = zbus::names::BusName::try_from(NAME)?;
        match bus.get_name_owner(name).await {
            Ok(owner) => Ok(Some(owner.as_str().to_owned())),
            Err(zbus::fdo::Error::NameHasNoOwner(_)) => Ok(None),
            Err(error) => Err(zbus::Error::from(error).into()),
        }
    }
}
