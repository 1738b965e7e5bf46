//! `wstreamctl plugins`

use clap::Args;
use wstream_api::{Details, keys};

use crate::bus::{Bus, read};
use crate::failure::Failure;
use crate::json::Object;
use crate::output;

/// The columns after the name, as they are headed, and their keys.
const COLUMNS: [(&str, &str); 8] = [
    ("state", keys::STATE),
    ("pid", keys::PID),
    ("restarts", keys::RESTARTS),
    ("filters", keys::FILTERS),
    ("calls", keys::CALLS),
    ("skipped", keys::SKIPPED),
    ("mean ms", keys::MEAN_MS),
    ("max ms", keys::MAX_MS),
];

/// Show the plugins and how they are
///
/// Those that the configuration names in `run` under [plugins], and everybody else who has a
/// filter. States: `running`; `waiting` to be started again, because it has ended by itself;
/// `missing` where the program wstream-NAME is not installed; `other` for who was not started by
/// the daemon. Calls, skipped and the times are those of its filters: skipped are texts that went
/// on without its answer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
    wstreamctl plugins
    wstreamctl plugins --json | jq -r 'select(.restarts > 0) | .name'")]
pub(crate) struct Plugins {
    /// Print a JSON object for each
    #[arg(long)]
    json: bool,
}

impl Plugins {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let bus = Bus::connect().await?;
        if !bus.daemon_runs().await? {
            if !self.json {
                output::note(super::status::STOPPED);
            }
            return Ok(());
        }
        let plugins = read("Plugins", bus.dictation.plugins()).await?;
        let plugins: Vec<Object> = plugins
            .into_iter()
            .map(|plugin| object(&plugin.into_iter().collect()))
            .collect();
        if self.json {
            return plugins.iter().try_for_each(output::object);
        }
        if plugins.is_empty() {
            output::note("no plugins: name some in `run` under [plugins] in the configuration");
            return Ok(());
        }
        table(&plugins)
            .iter()
            .try_for_each(|line| output::line(line))
    }
}

/// The name first, then the columns, then what another version of the daemon may add.
fn object(plugin: &Details) -> Object {
    let name = plugin.text(keys::NAME).unwrap_or_default();
    let state = plugin.text(keys::STATE).unwrap_or_default();
    Object::plain()
        .with(keys::NAME, name)
        .with(keys::STATE, state)
        .with_details(plugin)
}

/// Lines with columns as wide as they need to be.
fn table(plugins: &[Object]) -> Vec<String> {
    let head = std::iter::once("name").chain(COLUMNS.map(|(head, _)| head));
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_owned).collect()];
    for plugin in plugins {
        let keys = std::iter::once(keys::NAME).chain(COLUMNS.map(|(_, key)| key));
        rows.push(keys.map(|key| cell(plugin, key)).collect());
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..=COLUMNS.len()).filter_map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths);
            let padded: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            padded.join("  ").trim_end().to_owned()
        })
        .collect()
}

fn cell(plugin: &Object, key: &str) -> String {
    let value = plugin.members().find(|(name, _)| *name == key);
    match value {
        None => "-".to_owned(),
        Some((_, serde_json::Value::String(text))) => text.clone(),
        Some((_, value)) => match (value.as_u64(), value.as_f64()) {
            (None, Some(number)) => format!("{number:.1}"),
            _ => value.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use zbus::Variant;

    use super::*;

    #[test]
    fn a_table_with_what_is_known() {
        let plugins = [
            HashMap::from([
                ("name", Variant::from("words")),
                ("state", "running".into()),
                ("pid", 4711u32.into()),
                ("restarts", 0u32.into()),
                ("filters", 1u32.into()),
                ("calls", 12u64.into()),
                ("skipped", 0u64.into()),
                ("mean_ms", 0.75.into()),
                ("max_ms", 2.0.into()),
            ]),
            HashMap::from([("name", "notify".into()), ("state", "missing".into())]),
        ];
        let objects: Vec<Object> = plugins.iter().map(|it| object(&Details::of(it))).collect();
        assert_eq!(
            table(&objects),
            [
                "name    state    pid   restarts  filters  calls  skipped  mean ms  max ms",
                "words   running  4711  0         1        12     0        0.8      2.0",
                "notify  missing  -     -         -        -      -        -        -",
            ]
        );
        assert!(
            objects[0]
                .to_line()
                .starts_with(r#"{"name":"words","state":"running","#)
        );
    }
}
