//! What the desktop shows: notifications and plugins.

use std::time::Duration;

use wstream_api::{self as api, Details, keys};

use crate::bus::{Bus, answer, read};
use crate::doctor::finding::Finding;
use crate::doctor::installed::failed;

/// How long a notification server may take, which the bus may have to start.
const NOTIFICATIONS_LIMIT: Duration = Duration::from_secs(10);

/// Whether texts are typed at all.
pub(crate) async fn is_typing_wanted(bus: &Bus) -> bool {
    let when = read("Typing", bus.dictation.typing()).await;
    when.is_ok_and(|when| when != api::TYPING_OFF)
}

/// The notification server, which the bus may start for this.
pub(crate) async fn notifications(bus: &Bus) -> Finding {
    const SUBJECT: &str = "notifications";
    let asking = async {
        let proxy = zbus::Proxy::new(
            bus.connection(),
            "org.freedesktop.Notifications",
            "/org/freedesktop/Notifications",
            "org.freedesktop.Notifications",
        )
        .await?;
        let (name, _, version, _): (String, String, String, String) =
            proxy.call("GetServerInformation", &()).await?;
        Ok(format!("{name} {version} shows them"))
    };
    match answer("GetServerInformation", NOTIFICATIONS_LIMIT, asking).await {
        Ok(shown) => Finding::ok(SUBJECT, shown),
        Err(_) => Finding::problem(
            SUBJECT,
            "nobody shows notifications, so partial texts and troubles are not seen: start a \
             notification server, such as dunst or mako",
        ),
    }
}

/// The plugins of the configuration.
pub(crate) async fn plugins(bus: &Bus) -> Vec<Finding> {
    const SUBJECT: &str = "plugins";
    let plugins = match read("Plugins", bus.dictation.plugins()).await {
        Ok(plugins) => plugins,
        Err(failure) => return vec![failed(SUBJECT, &failure)],
    };
    let plugins: Vec<Details> = plugins
        .into_iter()
        .map(|plugin| plugin.into_iter().collect())
        .collect();
    let unwell: Vec<Finding> = plugins.iter().filter_map(unwell).collect();
    match (plugins.len(), unwell.is_empty()) {
        (_, false) => unwell,
        (0, true) => vec![Finding::ok(SUBJECT, "none is configured")],
        (count, true) => vec![Finding::ok(SUBJECT, format!("{count} run"))],
    }
}

fn unwell(plugin: &Details) -> Option<Finding> {
    const SUBJECT: &str = "plugins";
    let name = plugin.text(keys::NAME).unwrap_or_default();
    let sentence = match plugin.text(keys::STATE)? {
        api::PLUGIN_MISSING => format!(
            "there is no program wstream-{name}: install it, or take {name} out of `run` under \
             [plugins]"
        ),
        api::PLUGIN_WAITING => format!(
            "wstream-{name} ends by itself again and again: the daemon's log has what it says \
             (`journalctl --user -u wstreamd`); mend that, or take {name} out of `run` under \
             [plugins]"
        ),
        _ => return None,
    };
    Some(Finding::problem(SUBJECT, sentence))
}
