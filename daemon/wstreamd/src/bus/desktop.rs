//! Where the desktop is, as the user's service manager knows: a service that was started before the
//! desktop, or by the bus, has none of its variables.

use std::time::Duration;

use wstream_typing::Session;
use zbus::{Connection, OwnedVariant};

const MANAGER: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";

/// It answers within milliseconds; whoever waits for it wants to speak.
const ANSWER: Duration = Duration::from_millis(500);

/// The desktop of the user's session; `None`: this process knows it by itself, or nobody does.
pub(super) async fn of_user(connection: &Connection) -> Option<Session> {
    if is_desktop(&Session::own()) {
        return None;
    }
    let asking = async {
        // Asking for a name that nobody has would have the bus look for a program.
        let names = zbus::fdo::DBusProxy::new(connection).await?;
        if !names.name_has_owner(MANAGER.try_into()?).await? {
            return Err(zbus::Error::Failure("no service manager".to_owned()));
        }
        let answer = connection
            .call_method(
                Some(MANAGER),
                PATH,
                Some("org.freedesktop.DBus.Properties"),
                "Get",
                &("org.freedesktop.systemd1.Manager", "Environment"),
            )
            .await?;
        let environment: OwnedVariant = answer.body().deserialize()?;
        Vec::<String>::try_from(environment)
    };
    let environment = tokio::time::timeout(ANSWER, asking).await.ok()?.ok()?;
    let variables = environment.iter().filter_map(|line| line.split_once('='));
    let session = Session::of(variables.map(|(name, value)| (name.to_owned(), value.into())));
    is_desktop(&session).then_some(session)
}

fn is_desktop(session: &Session) -> bool {
    let mut variables = ["DISPLAY", "WAYLAND_DISPLAY"].iter();
    variables.any(|name| session.get(name).is_some())
}
