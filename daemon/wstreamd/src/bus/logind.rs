//! What logind tells of the user's session: that its screen is locked, and that the machine goes to
//! sleep; and the request to wait with that until what was said has become text.
//!
//! Enters: whether something is owed. Leaves: [`Command::Presence`]. A task of its own, which waits
//! for signals; where there is no system bus or no logind it ends, and nothing is missing.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep_until};
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
const ANSWER: Duration = Duration::from_secs(1);

/// A lock screen tells logind at once that it is there, if it does so at all.
const CONFIRMED: Duration = Duration::from_secs(10);

/// A system bus that was lost is looked for again after this.
const AGAIN: Duration = Duration::from_secs(10);

/// Follows logind for as long as the daemon lives. `owes`: whether sleep is to wait for us. `known`
/// is dropped when it is known whether the screen is locked, or that nobody tells.
pub async fn follow(
    to_daemon: mpsc::Sender<Command>,
    mut owes: watch::Receiver<bool>,
    known: oneshot::Sender<()>,
) {
    let mut known = Some(known);
    loop {
        let followed = try_follow(&to_daemon, &mut owes, &mut known).await;
        let was_there = known.is_none();
        known = None;
        match followed {
            Ok(()) => return,
            Err(error) if !was_there => {
                tracing::info!(%error, "locking and sleep are not noticed: logind does not tell of them");
                return;
            }
            Err(error) => tracing::warn!(%error, "logind is lost, and looked for again"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Ends well when the daemon has ended.
async fn try_follow(
    to_daemon: &mpsc::Sender<Command>,
    owes: &mut watch::Receiver<bool>,
    known: &mut Option<oneshot::Sender<()>>,
) -> zbus::Result<()> {
    let late = |_| zbus::Error::Failure("no answer".to_owned());
    let bus = tokio::time::timeout(ANSWER, Connection::system()).await;
    let bus = bus.map_err(late)??;
    // Asked for before anything is read, so that no change falls in between.
    let mut told = signals(&bus).await?;
    let mut session = tokio::time::timeout(ANSWER, own_session(&bus)).await;
    let tell = async |change| to_daemon.send(Command::Presence(change)).await;
    let is_locked = async |session: &Session| match session {
        Ok(Ok(session)) => locked_hint(&bus, session).await,
        _ => false,
    };
    // Also what has become untrue, should this be another connection than before.
    let state = async |session: &Session| match is_locked(session).await {
        true => Change::Locked,
        false => Change::Unlocked,
    };
    let _ = tell(Change::Awake).await;
    let _ = tell(state(&session).await).await;
    *known = None;
    let mut inhibitor: Option<JoinHandle<Option<OwnedFd>>> = None;
    // When it is looked whether the screen is locked that was to be.
    let mut look = None;
    loop {
        tokio::select! {
            message = told.next() => {
                let gone = || zbus::Error::Failure("the system's bus has gone".to_owned());
                let message = message.ok_or_else(gone)??;
                if changes_session(&message) {
                    session = tokio::time::timeout(ANSWER, own_session(&bus)).await;
                    if tell(state(&session).await).await.is_err() {
                        return Ok(());
                    }
                }
                let own = session.as_ref().ok().and_then(|it| it.as_ref().ok());
                let change = change(&message, own);
                if change == Some(Change::Locked) {
                    look = Some(Instant::now() + CONFIRMED);
                }
                if let Some(change) = change && tell(change).await.is_err() {
                    return Ok(());
                }
            }
            () = sleep_until(look.unwrap_or_else(Instant::now)), if look.is_some() => {
                look = None;
                if !is_locked(&session).await && tell(Change::Unconfirmed).await.is_err() {
                    return Ok(());
                }
            }
            changed = owes.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                // Given back when it is dropped: the machine may sleep.
                if *owes.borrow_and_update() {
                    let asking = || tokio::spawn(inhibit(bus.clone()));
                    inhibitor.get_or_insert_with(asking);
                } else if let Some(asked) = inhibitor.take() {
                    // What it has or would get is dropped with it.
                    asked.abort();
                }
            }
        }
    }
}

/// The user's own session, if there is one and logind says which.
type Session = Result<zbus::Result<OwnedObjectPath>, Elapsed>;

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
    let hint = property(bus, session.as_str(), SESSION, "LockedHint");
    let hint = tokio::time::timeout(ANSWER, hint).await;
    hint.is_ok_and(|hint| hint.is_ok_and(|hint| bool::try_from(hint).unwrap_or(false)))
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
async fn inhibit(bus: Connection) -> Option<OwnedFd> {
    let wanted = ("sleep", "wstream", "what was said becomes text", "delay");
    let answer = bus.call_method(Some(LOGIND), PATH, Some(MANAGER), "Inhibit", &wanted);
    let answer = tokio::time::timeout(ANSWER, answer).await.ok()?;
    let given = answer.and_then(|answer| answer.body().deserialize());
    given
        .inspect_err(|error| tracing::debug!(%error, "sleep does not wait for us"))
        .ok()
}

/// Whether another session may be the user's own now: one begins or ends, or the user looks at
/// another.
fn changes_session(message: &zbus::Message) -> bool {
    let header = message.header();
    let (Some(path), Some(member)) = (header.path(), header.member()) else {
        return false;
    };
    let of_manager =
        path.as_str() == PATH && ["SessionNew", "SessionRemoved"].contains(&member.as_str());
    of_manager || path.starts_with("/org/freedesktop/login1/user/")
}

/// What a signal means for the session.
fn change(message: &zbus::Message, session: Option<&OwnedObjectPath>) -> Option<Change> {
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
    if session.is_none_or(|session| path.as_str() != session.as_str()) {
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
