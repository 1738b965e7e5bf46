//! Where, when and of what a result is.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// The circumstances that every result names.
pub fn circumstances() -> BTreeMap<String, String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    [
        ("processor", processor()),
        ("cores", cores.to_string()),
        ("commit", commit()),
        ("date", said("date", &["-u", "+%Y-%m-%d %H:%M"])),
        (
            "load before",
            load.split(' ').take(3).collect::<Vec<_>>().join(" "),
        ),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    let name = line
        .and_then(|line| line.split_once(": "))
        .map(|(_, name)| name);
    // One name serves many kinds of processor in a virtual machine; the number tells them apart.
    let number = info
        .lines()
        .find(|line| line.starts_with("model\t"))
        .and_then(|line| line.split_once(": "));
    match (name, number) {
        (Some(name), Some((_, number))) => format!("{name}, model {number}"),
        (name, _) => name.unwrap_or(std::env::consts::ARCH).to_owned(),
    }
}

fn commit() -> String {
    let root = wstream_tests::root();
    let root = root.to_string_lossy();
    let commit = said("git", &["-C", &root, "rev-parse", "--short", "HEAD"]);
    let changed = said(
        "git",
        &["-C", &root, "status", "--porcelain", "--untracked-files=no"],
    );
    if changed.is_empty() {
        commit
    } else {
        format!("{commit} and changes")
    }
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
