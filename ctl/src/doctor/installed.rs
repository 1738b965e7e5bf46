//! Programs, configuration, bus, daemon and service: whether everything is there and fits together.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Output;

use crate::bus::{Bus, answer, read};
use crate::doctor::finding::{Finding, State};
use crate::failure::Failure;
use crate::program::{DAEMON, ENGINE, Program};

const OUR_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The unit of the daemon.
const UNIT: &str = "wstreamd.service";

/// The programs, their versions, and whether the engine can compute here.
pub(crate) fn programs() -> Vec<Finding> {
    let mut findings: Vec<Finding> = [DAEMON, ENGINE].into_iter().map(version_of).collect();
    if findings.iter().all(|finding| finding.state == State::Ok) {
        findings.truncate(1);
        findings[0] = Finding::ok(
            "programs",
            format!("wstreamctl, wstreamd and wstream-engine are {OUR_VERSION}"),
        );
    } else {
        findings.retain(|finding| finding.state != State::Ok);
    }
    findings
}

fn version_of(program: Program) -> Finding {
    const SUBJECT: &str = "programs";
    let name = program.name();
    let said = match program.output(&["--version"]) {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(failure) => return failed(SUBJECT, &failure),
    };
    match said.split_whitespace().last() {
        Some(OUR_VERSION) => Finding::ok(SUBJECT, format!("{name} is {OUR_VERSION}")),
        Some(other) => Finding::problem(
            SUBJECT,
            format!(
                "{name} is {other} and wstreamctl {OUR_VERSION}: install them together, \
                 from the package or with `packaging/install.sh`"
            ),
        ),
        None => Finding::problem(
            SUBJECT,
            format!(
                "{name} does not run: install it again, from the package or with `packaging/install.sh`"
            ),
        ),
    }
}

/// The configuration, as the daemon reads it.
pub(crate) fn configuration() -> Vec<Finding> {
    const SUBJECT: &str = "configuration";
    match DAEMON.output(&["--check-config"]) {
        Ok(output) if output.status.success() => {
            let warnings = lines(&output.stderr);
            if warnings.is_empty() {
                return vec![Finding::ok(SUBJECT, "the configuration is right")];
            }
            let warn = |warning| Finding::problem(SUBJECT, warning);
            warnings.into_iter().map(warn).collect()
        }
        Ok(output) => vec![Finding::problem(SUBJECT, told(&output))],
        // The programs' own line says that it is not there.
        Err(_) => vec![Finding::skipped(SUBJECT, "wstreamd is needed to read it")],
    }
}

/// What a program complained about.
fn told(output: &Output) -> String {
    lines(&output.stderr).join("; ")
}

/// Lines without the program's name in front, the innermost first words left as they are.
fn lines(said: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(said)
        .lines()
        .map(|line| line.strip_prefix("wstreamd: ").unwrap_or(line).trim())
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The folder that sockets of the session lie in.
pub(crate) fn rights() -> Finding {
    const SUBJECT: &str = "rights";
    const WHERE: &str = "XDG_RUNTIME_DIR";
    let Some(dir) = std::env::var_os(WHERE).filter(|dir| !dir.is_empty()) else {
        return Finding::problem(
            SUBJECT,
            format!("{WHERE} is not set: run this inside a desktop session, as its user"),
        );
    };
    let dir = Path::new(&dir);
    let shown = dir.display();
    match std::fs::metadata(dir) {
        Err(error) => Finding::problem(
            SUBJECT,
            format!("{shown}, which {WHERE} names, cannot be used ({error}): log in again"),
        ),
        Ok(it) if it.uid() != rustix::process::getuid().as_raw() => Finding::problem(
            SUBJECT,
            format!("{shown}, which {WHERE} names, is another user's: run this as its user"),
        ),
        Ok(it) if it.permissions().mode() & 0o077 != 0 => Finding::problem(
            SUBJECT,
            format!("others can enter {shown}: say `chmod 700 {shown}`"),
        ),
        Ok(_) => Finding::ok(SUBJECT, format!("{shown} is yours alone")),
    }
}

/// The daemon, which this starts where the bus knows how. Whether it can be asked more.
pub(crate) async fn daemon(bus: &Bus) -> (Finding, bool) {
    const SUBJECT: &str = "daemon";
    match read("Version", bus.dictation.version()).await {
        Ok(version) if version == OUR_VERSION => {
            (Finding::ok(SUBJECT, format!("it answers, {version}")), true)
        }
        Ok(version) => {
            let sentence = format!(
                "the running daemon is {version} and wstreamctl {OUR_VERSION}: \
                 `systemctl --user restart wstreamd`, or end it and start it again"
            );
            (Finding::problem(SUBJECT, sentence), true)
        }
        Err(failure) => (failed(SUBJECT, &failure), false),
    }
}

/// What systemd makes of the daemon's unit.
pub(crate) async fn service(bus: &Bus) -> Finding {
    const SUBJECT: &str = "service";
    let Ok(properties) = unit(bus).await else {
        return Finding::skipped(
            SUBJECT,
            "no systemd manager for this user: the bus starts the daemon, or you do",
        );
    };
    let (loaded, active, restarts) = properties;
    match (loaded.as_str(), active.as_str()) {
        ("loaded", "failed") => Finding::problem(
            SUBJECT,
            format!(
                "{UNIT} has failed: see `journalctl --user -u wstreamd`, \
                 then `systemctl --user restart wstreamd`"
            ),
        ),
        ("loaded", _) if restarts > 0 => Finding::problem(
            SUBJECT,
            format!(
                "{UNIT} is {active} and was started again {restarts} times after it had failed: \
                 see `journalctl --user -u wstreamd`"
            ),
        ),
        ("loaded", _) => Finding::ok(SUBJECT, format!("{UNIT} is {active}")),
        ("not-found", _) => Finding::skipped(
            SUBJECT,
            format!("{UNIT} is not installed: the bus starts the daemon, or you do"),
        ),
        (other, _) => Finding::problem(
            SUBJECT,
            format!("{UNIT} is {other}: `systemctl --user daemon-reload`, or install it again"),
        ),
    }
}

/// `LoadState`, `ActiveState` and `NRestarts` of the unit (org.freedesktop.systemd1(5)).
async fn unit(bus: &Bus) -> Result<(String, String, u32), Failure> {
    const SYSTEMD: &str = "org.freedesktop.systemd1";
    let asking = async {
        let connection = bus.connection();
        let manager = zbus::Proxy::new(
            connection,
            SYSTEMD,
            "/org/freedesktop/systemd1",
            "org.freedesktop.systemd1.Manager",
        )
        .await?;
        let path: zbus::OwnedObjectPath = manager.call("LoadUnit", &(UNIT,)).await?;
        let of = |interface| zbus::Proxy::new(connection, SYSTEMD, path.clone(), interface);
        let unit = of("org.freedesktop.systemd1.Unit").await?;
        let service = of("org.freedesktop.systemd1.Service").await?;
        Ok((
            unit.get_property("LoadState").await?,
            unit.get_property("ActiveState").await?,
            service.get_property("NRestarts").await?,
        ))
    };
    answer("LoadUnit", crate::bus::ANSWER_LIMIT, asking).await
}

/// A failure as what is wrong with a thing.
pub(crate) fn failed(subject: &'static str, failure: &Failure) -> Finding {
    let sentence = failure.sentence();
    Finding::problem(subject, sentence.unwrap_or_else(|| failure.to_string()))
}
