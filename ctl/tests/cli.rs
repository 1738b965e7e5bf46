//! The program itself, as a shell sees it: exit status, standard output and standard error, where
//! no daemon is needed. What it does with one is tested where the daemon is.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn wstreamctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wstreamctl"));
    command
        .args(arguments)
        .env_remove("WSTREAM_ENGINE")
        .env_remove("WSTREAM_DAEMON")
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Checks for one sentence in the form that all have.
fn assert_sentence(output: &Output, code: i32, says: &str) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let sentence = stderr.strip_prefix("wstreamctl: ").expect(&stderr);
    assert!(sentence.contains(says), "{stderr}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
}

#[test]
fn without_a_bus_every_command_says_so() {
    for arguments in [
        &["start"][..],
        &["stop"],
        &["toggle"],
        &["cancel"],
        &["retry"],
        &["status"],
        &["status", "--json", "--follow"],
        &["listen"],
        &["monitor"],
        &["transcribe", "/dev/null"],
        &["strategy"],
        &["strategy", "hybrid"],
        &["backend"],
        &["language", "en"],
        &["microphone"],
        &["model", "use", "base"],
    ] {
        let output = wstreamctl(arguments).output().unwrap();
        assert_sentence(&output, 3, "dbus-run-session");
    }
}

#[test]
fn wrong_usage_has_a_status_of_its_own() {
    for arguments in [
        &[][..],
        &["transcribe"],
        &["strategy", "beam"],
        &["transcribe", "--raw", "s16le", "x"],
        &["transcribe", "--rate", "16000", "x"],
        &["transcribe", "--raw", "mp3", "--rate", "16000", "x"],
        &["model"],
        &["completions", "cmd.exe"],
    ] {
        let output = wstreamctl(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn a_reader_that_leaves_and_a_disk_that_is_full() {
    let mut child = wstreamctl(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(text(&output.stderr), "");

    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = wstreamctl(&["completions", "bash"])
        .stdout(full)
        .output()
        .unwrap();
    assert_sentence(&output, 1, "check that its disk is not full");
}

/// A program that prints its arguments and ends with 5.
fn write_program(path: &Path) {
    fs::write(path, "#!/bin/sh\nprintf '%s\\n' \"$*\"\ncat\nexit 5\n").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_other_programs_are_run_in_our_place() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("program");
    write_program(&program);
    let config = dir.path().join("config");
    for (variable, arguments, expected) in [
        (
            "WSTREAM_ENGINE",
            &["model", "pull", "base"][..],
            "model pull base",
        ),
        ("WSTREAM_ENGINE", &["model", "list"], "model list"),
        ("WSTREAM_DAEMON", &["config", "check"], "--check-config"),
        (
            "WSTREAM_DAEMON",
            &["config", "check", "x.toml"],
            "--check-config --config x.toml",
        ),
        (
            "WSTREAM_DAEMON",
            &["config", "show"],
            "--print-default-config",
        ),
    ] {
        let output = wstreamctl(arguments)
            .env(variable, &program)
            .env("XDG_CONFIG_HOME", &config)
            .output()
            .unwrap();
        assert_eq!(text(&output.stdout).trim_end(), expected);
        assert_eq!(output.status.code(), Some(5));

        let output = wstreamctl(arguments)
            .env(variable, "/nonexistent/program")
            .env("XDG_CONFIG_HOME", &config)
            .output()
            .unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("wstreamctl: cannot run /nonexistent/program"));
    }
}

#[test]
fn the_configuration_is_found_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("wstream/config.toml");
    let run = |action: &str| {
        wstreamctl(&["config", action])
            .env("XDG_CONFIG_HOME", dir.path())
            .output()
            .unwrap()
    };
    assert_eq!(text(&run("path").stdout), format!("{}\n", file.display()));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "strategy = \"hybrid\" # as it stands\n").unwrap();
    assert_eq!(
        text(&run("show").stdout),
        "strategy = \"hybrid\" # as it stands\n"
    );
}
