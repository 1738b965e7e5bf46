//! The daemon as a user's service, with its real unit and a real `systemd --user`: how it is started,
//! started again, and ended; what its sandbox forbids.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "measurements, shown with --nocapture; a skipped test says so"
)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::future::Future;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use wstream_tests::root;

use crate::manager::{Manager, command};
use crate::microphone::Sound;
use crate::presence;

/// For what takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until there is a daemon with another process than `other`.
async fn another(manager: &Manager, other: u32) -> Result<u32> {
    let asking = async {
        loop {
            match manager.daemon().await {
                Ok(pid) if pid != other => return pid,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let came = tokio::time::timeout(PATIENCE, asking).await;
    came.context("no other daemon comes")
}

/// Waits until the manager has heard that it is ready, which comes behind its name on the bus.
async fn is_active(manager: &Manager) -> Result<()> {
    while manager.says("ActiveState").await? == "activating" {}
    let state = manager.says("ActiveState").await?;
    ensure!(state == "active", "it is {state}");
    Ok(())
}

fn kill(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid as i32).context("a process")?;
    Ok(kill_process(pid, signal)?)
}

/// Does `what` with a manager that has the daemon's unit, and ends it.
async fn with_manager<F>(what: impl FnOnce(Arc<Manager>) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let Some(manager) = Manager::start().await? else {
        eprintln!("skipped: no service manager can be started here");
        return Ok(());
    };
    let dir = manager.desktop.path().join("programs");
    std::fs::DirBuilder::new().mode(0o755).create(&dir)?;
    manager.install(&dir).await?;
    let manager = Arc::new(manager);
    let done = what(manager.clone()).await;
    let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
    done.with_context(|| format!("the daemon's log:\n{log}"))?;
    let manager = Arc::into_inner(manager).context("it is held")?;
    manager.end().await.context("the manager does not end")
}

#[tokio::test]
async fn a_desktop_starts_it_and_a_crash_does_not_end_it() -> Result<()> {
    let Some(sound) = Sound::raise("pulseaudio").await? else {
        return Ok(());
    };
    with_manager(|manager| async move {
        manager.desktop.configure(
            "model = \"tiny.en\"\n[audio]\nhost = \"pulseaudio\"\n[session]\nresume_after_crash = true\n",
        )?;
        // The server's socket lies in /tmp here; elsewhere it is in $XDG_RUNTIME_DIR.
        let folder = sound.0.env.iter().find(|(name, _)| name == "MIC_DIR");
        let folder = &folder.context("the script tells its folder")?.1;
        let mut more = format!("[Service]\nBindReadOnlyPaths={folder}\n");
        for (name, value) in &sound.0.env {
            writeln!(more, "Environment=\"{name}={value}\"")?;
        }
        manager.drop_in("sound", &more)?;
        // As a desktop does, which has a target of its own.
        std::fs::write(
            manager.units().join("desktop.target"),
            "[Unit]\nBindsTo=graphical-session.target\nBefore=graphical-session.target\n",
        )?;
        manager.systemctl(&["daemon-reload"]).await?;
        manager.systemctl(&["enable", "wstreamd.service"]).await?;
        let began = Instant::now();
        manager.systemctl(&["start", "desktop.target"]).await?;
        let first = another(&manager, 0).await?;
        println!("started by its target: on the bus after {:?}", began.elapsed());
        is_active(&manager).await?;

        let dictation = manager.dictation().await?;
        dictation.set_strategy("hybrid").await?;
        dictation.start(HashMap::new()).await?;
        let killed = Instant::now();
        kill(first, Signal::KILL)?;
        another(&manager, first).await?;
        presence::until(&dictation, wstream_api::STATE_LISTENING).await?;
        println!("killed: listening again after {:?}", killed.elapsed());
        ensure!(dictation.strategy().await? == "hybrid");
        ensure!(manager.says("NRestarts").await? == "1");
        let opening = async {
            while sound.recorders().await? != 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, opening).await??;

        let stopped = Instant::now();
        manager.systemctl(&["stop", "wstreamd.service"]).await?;
        println!("listening, it stopped within {:?}", stopped.elapsed());
        let state = manager.says("ActiveState").await?;
        ensure!(state == "inactive", "stopped, it is {state}");
        ensure!(manager.says("Result").await? == "success");
        ensure!(sound.recorders().await? == 0, "the microphone stays open");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_bus_starts_it_and_its_loss_has_it_started_again() -> Result<()> {
    with_manager(|manager| async move {
        let services = manager
            .desktop
            .path()
            .join("home/.local/share/dbus-1/services");
        std::fs::create_dir_all(&services)?;
        let file = format!("{}.service", wstream_api::NAME);
        let text = std::fs::read_to_string(root().join(format!("packaging/{file}.in")))?;
        std::fs::write(services.join(file), text)?;
        let dictation = manager.dictation().await?;
        let connection = dictation.inner().connection();
        let bus = zbus::fdo::DBusProxy::new(connection).await?;
        bus.reload_config().await?;
        ensure!(manager.says("ActiveState").await? == "inactive");
        ensure!(dictation.state().await? == wstream_api::STATE_IDLE);
        is_active(&manager).await?;
        let first = manager.daemon().await?;
        dictation.set_strategy("prompt").await?;

        // Ended by itself it may leave systemd 252 waiting for the bus that it is to start: 90 s.
        let lost = Instant::now();
        manager.systemctl(&["restart", "dbus.service"]).await?;
        let second = another(&manager, first).await?;
        println!("the bus lost: on the next one after {:?}", lost.elapsed());
        ensure!(manager.daemon().await? == second);
        let dictation = manager.dictation().await?;
        ensure!(dictation.strategy().await? == "prompt");
        Ok(())
    })
    .await
}

/// What the sandbox forbids, each tried by a program in place of the daemon; outside of it the same
/// works, so that it is the sandbox that is tried. A line each: what, and the error's number.
const PROBE: &str = r#"
import ctypes, mmap, os, pathlib, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
home, state, elsewhere = (pathlib.Path(p) for p in sys.argv[1:4])

def call(name, *arguments):
    ctypes.set_errno(0)
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)

def setuid_file():
    file = state / "file"
    file.write_text("")
    os.chmod(file, 0o4755)

tries = {
    "write into the state folder": lambda: (state / "mine").write_text("x"),
    "read a file of the user's": lambda: (home / "theirs").read_text(),
    "write into the home folder": lambda: (home / "mine").write_text("x"),
    "change a file of the user's": lambda: (home / "theirs").write_text("x"),
    "write elsewhere": lambda: (elsewhere / "mine").write_text("x"),
    "see other programs' files in /tmp": lambda: next(pathlib.Path("/tmp").glob("wstream-probe-*")),
    "make a namespace": lambda: call("unshare", 0x10000000),
    "talk to a network card": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
    "make memory that is written and run": lambda: mmap.mmap(-1, 4096, prot=7),
    "take a real-time priority": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "make a set-user-ID file": setuid_file,
    "change the machine's name": lambda: call("sethostname", socket.gethostname().encode(), len(socket.gethostname())),
    "change the personality": lambda: call("personality", 0x0200000),
    "trace another program": lambda: call("ptrace", 0x4206, os.getppid(), 0, 0),
    "mount": lambda: call("mount", b"none", b"/nowhere", b"tmpfs", 0, None),
}
for name, attempt in tries.items():
    pid = os.fork()
    if pid == 0:
        try:
            attempt()
            code = 0
        except OSError as error:
            code = error.errno
        except StopIteration:
            code = 2
        os._exit(code)
    print(f"{name}\t{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}", flush=True)
"#;

/// What each try came to.
fn came(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(what, came)| (what.to_owned(), came.to_owned()))
        .collect()
}

#[tokio::test]
async fn its_sandbox_forbids_what_the_daemon_does_not_need() -> Result<()> {
    with_manager(|manager| async move {
        let dir = manager.desktop.path();
        let (home, state) = (dir.join("home"), dir.join("home/.local/state/wstream"));
        let elsewhere = dir.join("elsewhere");
        std::fs::create_dir_all(&state)?;
        std::fs::create_dir(&elsewhere)?;
        let in_tmp = tempfile::Builder::new()
            .prefix("wstream-probe-")
            .tempfile_in("/tmp")?;
        let probe = dir.join("programs/probe.py");
        std::fs::write(&probe, PROBE)?;
        let arguments = [&home, &state, &elsewhere];

        std::fs::write(home.join("theirs"), "x")?;
        let mut outside = command(&manager.desktop, "python3");
        let outside = outside.arg(&probe).args(arguments).output().await?;
        let outside = came(&String::from_utf8(outside.stdout)?);
        for left in [
            home.join("mine"),
            elsewhere.join("mine"),
            state.join("mine"),
        ] {
            std::fs::remove_file(left)?;
        }

        let result = dir.join("programs/result");
        let [home, state, elsewhere] = arguments.map(|path| path.display().to_string());
        manager.drop_in(
            "probe",
            &format!(
                "[Service]\nType=oneshot\nRestart=no\nExecStart=\n\
                 ExecStart=/usr/bin/env python3 {} {home} {state} {elsewhere}\n\
                 StandardOutput=truncate:{}\n",
                probe.display(),
                result.display()
            ),
        )?;
        manager.systemctl(&["daemon-reload"]).await?;
        manager.systemctl(&["start", "wstreamd.service"]).await?;
        let inside = came(&std::fs::read_to_string(&result)?);
        drop(in_tmp);

        let mut wrong = Vec::new();
        let mut tried = 0;
        for (what, outside) in &outside {
            let inside = inside.get(what).map_or("nothing", String::as_str);
            println!("{what}: {inside} inside, {outside} outside");
            let is_needed = what.contains("state folder") || what.starts_with("read ");
            let is_right = if is_needed {
                inside == "0"
            } else if what == "mount" {
                // Without a place to mount at.
                inside == "1" && outside == "2"
            } else if outside != "0" {
                // Forbidden to this machine's root already.
                continue;
            } else {
                inside != "0"
            };
            tried += 1;
            if !is_right {
                wrong.push(format!("{what}: {inside}, outside {outside}"));
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        ensure!(tried >= 10, "only {tried} could be tried: {outside:?}");
        Ok(())
    })
    .await
}
