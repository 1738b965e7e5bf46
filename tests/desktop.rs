use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use wstream_api::DictationProxy;
use zbus::proxy::CacheProperties;

/// How long a program may take to be there; far more than it does on a loaded machine.
const START: Duration = Duration::from_secs(30);

/// A session of its own in a temporary folder: bus, home, runtime folder. Everything ends with it.
#[derive(Debug)]
pub struct Desktop {
    dir: tempfile::TempDir,
    bus_address: String,
    models_dir: PathBuf,
    /// Killed when dropped.
    _bus: Child,
}

/// A `wstreamd` on a desktop, and a connection to its bus.
#[derive(Debug)]
pub struct Running {
    /// Killed when dropped; its engine ends with it.
    pub child: Child,
    /// A connection of the test's own.
    pub connection: zbus::Connection,
    /// The published proxy; asks each time.
    pub proxy: DictationProxy<'static>,
    /// The same with a cache: only to be told of changes.
    pub changes: DictationProxy<'static>,
}

/// The folder with the programs: `$WSTREAM_BIN`, else where cargo put them.
pub fn program_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("WSTREAM_BIN") {
        return dir.into();
    }
    let here = std::env::current_exe().unwrap_or_default();
    let dir = here.parent().unwrap_or(Path::new("."));
    // A test is target/release/deps/e2e-…, a program target/release/wstream-bench.
    match dir.parent() {
        Some(above) if dir.ends_with("deps") => above.to_owned(),
        _ => dir.to_owned(),
    }
}

/// One of the project's programs.
pub fn program(name: &str) -> PathBuf {
    program_dir().join(name)
}

impl Desktop {
    /// Raises a bus in a fresh folder. Models come from `models_dir`.
    pub async fn new(models_dir: &Path) -> Result<Self> {
        Self::new_in(&std::env::temp_dir(), models_dir).await
    }

    /// The same with the folder in `parent`, for who must be seen from a service with a `/tmp` of
    /// its own.
    pub async fn new_in(parent: &Path, models_dir: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("wstream-test")
            .tempdir_in(parent)?;
        let services = dir.path().join("services");
        for folder in ["home/.config/wstream", "run", "services"] {
            std::fs::create_dir_all(dir.path().join(folder))?;
        }
        // No standard service folders: nothing but ours can be started by this bus.
        let config = dir.path().join("bus.conf");
        std::fs::write(
            &config,
            format!(
                r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{}</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#,
                dir.path().join("run/bus").display(),
                services.display()
            ),
        )?;
        // What the bus starts inherits its environment, so it gets the session's.
        let mut bus = session(Command::new("dbus-daemon"), dir.path(), models_dir)
            .env("DBUS_SESSION_BUS_ADDRESS", bus_address(dir.path()))
            .arg("--nofork")
            .arg("--print-address")
            .arg(format!("--config-file={}", config.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("dbus-daemon is not installed")?;
        let stdout = bus.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let bus_address = tokio::time::timeout(START, lines.next_line())
            .await??
            .context("the bus ended at once")?;
        Ok(Desktop {
            dir,
            bus_address,
            models_dir: models_dir.to_owned(),
            _bus: bus,
        })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The bus.
    pub fn bus_address(&self) -> &str {
        &self.bus_address
    }

    /// Ends the bus, as a logout does.
    pub async fn kill_bus(&mut self) -> Result<()> {
        Ok(self._bus.kill().await?)
    }

    /// Writes the user's configuration.
    pub fn configure(&self, text: &str) -> Result<()> {
        let path = self.path().join("home/.config/wstream/config.toml");
        Ok(std::fs::write(path, text)?)
    }

    /// Makes the bus able to start the daemon by itself.
    pub fn activatable(&self) -> Result<()> {
        let text = format!(
            "[D-BUS Service]\nName={}\nExec={}\n",
            wstream_api::NAME,
            program("wstreamd").display()
        );
        let file = format!("services/{}.service", wstream_api::NAME);
        Ok(std::fs::write(self.path().join(file), text)?)
    }

    /// A command in this session: its environment and nothing else of the caller's, except what
    /// a test machine needs (`PATH`, and where its sound is).
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = session(Command::new(program), self.path(), &self.models_dir);
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.bus_address);
        // This machine's own screen may be locked.
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus_address);
        command
    }

    /// Connects to the bus.
    pub async fn connect(&self) -> Result<zbus::Connection> {
        let builder = zbus::connection::Builder::address(self.bus_address.as_str());
        Ok(builder.build().await?)
    }

    /// Starts the daemon and waits until it is on the bus.
    pub async fn start(&self) -> Result<Running> {
        self.start_with(|_| {}).await
    }

    /// Starts the daemon with a changed command.
    pub async fn start_with(&self, change: impl FnOnce(&mut Command)) -> Result<Running> {
        let connection = self.connect().await?;
        let bus = zbus::fdo::DBusProxy::new(&connection).await?;
        let mut owners = bus
            .receive_name_owner_changed_with_args(&[(0, wstream_api::NAME)])
            .await?;
        let mut command = self.command(program("wstreamd"));
        change(&mut command);
        let mut child = command.spawn().context("wstreamd is not built")?;
        use futures_util::StreamExt as _;
        tokio::select! {
            _ = owners.next() => {}
            status = child.wait() => bail!("wstreamd ended at once: {}", status?),
            () = tokio::time::sleep(START) => bail!("wstreamd is not on the bus after {START:?}"),
        }
        let proxy = dictation(&connection).await?;
        let changes = DictationProxy::new(&connection).await?;
        Ok(Running {
            child,
            connection,
            proxy,
            changes,
        })
    }

    /// Runs `wstreamctl` to its end.
    pub async fn ctl(&self, args: &[&str]) -> Result<std::process::Output> {
        let run = self
            .command(program("wstreamctl"))
            .args(args)
            .stdin(Stdio::null())
            .output();
        Ok(tokio::time::timeout(Duration::from_secs(300), run).await??)
    }
}

/// The daemon, asked each time: a cache of properties is filled by an answer that takes as long as
/// looking for microphones does, and can put an older value over a newer one.
pub async fn dictation(connection: &zbus::Connection) -> Result<DictationProxy<'static>> {
    Ok(DictationProxy::builder(connection)
        .cache_properties(CacheProperties::No)
        .build()
        .await?)
}

fn bus_address(dir: &Path) -> String {
    format!("unix:path={}", dir.join("run/bus").display())
}

/// The environment of a session in `dir`, and nothing else of the caller's but `PATH`.
fn session(mut command: Command, dir: &Path, models_dir: &Path) -> Command {
    let home = dir.join("home");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", &home)
        .env("XDG_CONFIG_HOME", home.join(".config"))
        .env("XDG_DATA_HOME", home.join(".local/share"))
        .env("XDG_STATE_HOME", home.join(".local/state"))
        .env("XDG_RUNTIME_DIR", dir.join("run"))
        .env("WSTREAM_MODELS_DIR", models_dir)
        .env("WSTREAM_LOG", "warn")
        .kill_on_drop(true);
    for kept in ["WSTREAM_LOG", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

impl Running {
    /// The process number of the daemon.
    pub fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(
            self.child.id().context("wstreamd has ended")?,
        )?)
    }

    /// The daemon's user and system time, in ticks of 10 ms (proc(5), fields 14 and 15 of stat).
    pub fn cpu_ticks(&self) -> Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        let (_, fields) = stat.rsplit_once(") ").context("stat has a name")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
    }

    /// The process numbers of the daemon's children: its engine.
    pub fn engine_pids(&self) -> Result<Vec<i32>> {
        let pid = self.pid()?;
        let path = format!("/proc/{pid}/task");
        let mut children = Vec::new();
        for task in std::fs::read_dir(path)? {
            let listed = std::fs::read_to_string(task?.path().join("children"))?;
            children.extend(
                listed
                    .split_whitespace()
                    .filter_map(|p| p.parse::<i32>().ok()),
            );
        }
        Ok(children)
    }

    /// Sends SIGTERM and waits; the daemon must end well.
    pub async fn terminate(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_raw(self.pid()?).context("a process number")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = tokio::time::timeout(START, self.child.wait()).await??;
        ensure!(status.success(), "wstreamd ended with {status}");
        Ok(())
    }
}
