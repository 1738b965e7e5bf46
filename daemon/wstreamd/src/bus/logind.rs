//! What logind tells of the user's session: that its screen is locked, and that the machine goes to
//! sleep; and the request to wait with that until what was said has become text.
//!
//! Enters: whether something is owed. Leaves: [`Command::Presence`]. A task of its own, which waits
//! for signals; where there is no system bus or no logind it ends, and nothing is missing.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use zbus::{Connection, MatchRule, MessageStream, OwnedFd, OwnedObjectPath, OwnedVariant};

use crate::daemon::{Change, Command};

const LOGIND: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";
const USER: &str = "org.freedesktop.login1.User";
/// The user of who asks.
const OWN_USER: &str = "/org/freedesktop/login1/user/self";

/// logind answers within milliseconds; one that does not in this time is not there.
const ANSWER: Duration = Duration::from_secs(5);

/// Follows logind until its bus goes. `owes`: whether sleep is to wait for us.
pub async fn follow(to_daemon: mpsc::Sender<Command>, owes: watch::Receiver<bool>) {
    if let Err(error) = try_follow(to_daemon, owes).await {
        tracing::info!(%error, "locking and sleep are not noticed: logind does not tell of them");
    }
}

async fn try_follow(
    to_daemon: mpsc::Sender<Command>,
    mut owes: watch::Receiver<bool>,
) -> zbus::Result<()> {
    let late = |_| zbus::Error::Failure("no answer".to_owned());
    let bus = tokio::time::timeout(ANSWER, Connection::system()).await;
    let bus = bus.map_err(late)??;
    // Asked for before anything is read, so that no change falls in between.
    let mut told = signals(&bus).await?;
    let session = tokio::time::timeout(ANSWER, own_session(&bus)).await;
    let session = session.map_err(late)??;
    tracing::debug!(session = session.as_str(), "logind tells of this session");
    let tell = async |change| to_daemon.send(Command::Presence(change)).await;
    if locked_hint(&bus, &session).await {
        let _ = tell(Change::Locked).await;
    }
    let mut inhibitor = None;
    loop {
        tokio::select! {
            message = told.next() => {
                let Some(message) = message else { return Ok(()) };
                if let Some(change) = change(&message?, &session)
                    && tell(change).await.is_err()
                {
                    return Ok(());
                }
            }
            changed = owes.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                // Given back when it is dropped: the machine may sleep.
                let is_owed = *owes.borrow_and_update();
                inhibitor = match (is_owed, inhibitor) {
                    (true, None) => inhibit(&bus).await,
                    (true, held) => held,
                    (false, _) => None,
                };
            }
        }
    }
}

/// Everything that logind's manager and sessions tell.
async fn signals(bus: &Connection) -> zbus::Result<MessageStream> {
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .sender(LOGIND)
        .path_namespace(PATH)
        .build()?;
    MessageStream::for_match_rule(rule, bus, None).await
}

/// The session of this process, or, for a service, the one that its user looks at.
async fn own_session(bus: &Connection) -> zbus::Result<OwnedObjectPath> {
    let pid = std::process::id();
    let answer = bus
        .call_method(Some(LOGIND), PATH, Some(MANAGER), "GetSessionByPID", &pid)
        .await;
    if let Ok(answer) = answer {
        return answer.body().deserialize();
    }
    let display = property(bus, OWN_USER, USER, "Display").await?;
    let (_, path): (String, OwnedObjectPath) = display.try_into()?;
    Ok(path)
}

async fn locked_hint(bus: &Connection, session: &OwnedObjectPath) -> bool {
    let hint = property(bus, session.as_str(), SESSION, "LockedHint").await;
    hint.is_ok_and(|hint| bool::try_from(hint).unwrap_or(false))
}

async fn property(
    bus: &Connection,
    path: &str,
    interface: &str,
    name: &str,
) -> zbus::Result<OwnedVariant> {
    let asked = (interface, name);
    let properties = "org.freedesktop.DBus.Properties";
    let answer = bus
        .call_method(Some(LOGIND), path, Some(properties), "Get", &asked)
        .await?;
    answer.body().deserialize()
}

/// Has sleep wait for us, for some seconds at most, as logind is configured. `None`: it does not.
async fn inhibit(bus: &Connection) -> Option<OwnedFd> {
    let wanted = ("sleep", "wstream", "what was said becomes text", "delay");
    let answer = bus.call_method(Some(LOGIND), PATH, Some(MANAGER), "Inhibit", &wanted);
    let answer = tokio::time::timeout(ANSWER, answer).await.ok()?;
    let given = answer.and_then(|answer| answer.body().deserialize());
    given
        .inspect_err(|error| tracing::debug!(%error, "sleep does not wait for us"))
        .ok()
}

/// What a signal means for the session.
fn change(message: &zbus::Message, session: &OwnedObjectPath) -> Option<Change> {
    let header = message.header();
    let (path, member) = (header.path()?, header.member()?.as_str());
    let body = message.body();
    if path.as_str() == PATH {
        let begins: bool = (member == "PrepareForSleep").then(|| body.deserialize().ok())??;
        return Some(if begins {
            Change::Sleeps
        } else {
            Change::Awake
        });
    }
    if path.as_str() != session.as_str() {
        return None;
    }
    match member {
        "Lock" => Some(Change::Locked),
        "Unlock" => Some(Change::Unlocked),
        "PropertiesChanged" => {
            type Changed<'a> = (&'a str, HashMap<&'a str, zbus::Variant<'a>>, Vec<&'a str>);
            let (_, changed, _): Changed<'_> = body.deserialize().ok()?;
            let locked = bool::try_from(changed.get("LockedHint")?).ok()?;
            Some(if locked {
                Change::Locked
            } else {
                Change::Unlocked
            })
        }
        _ => None,
    }
}
