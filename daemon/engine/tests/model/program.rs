//! What the program prints and exits with.

use std::fs;
use std::process::Command;

use crate::server::{Manner, Server};
use crate::{engine, names, stderr, stdout};

/// Nobody listens there: port 1 is reserved and not given out.
const NOBODY: &str = "http://127.0.0.1:1";

#[test]
fn faults_are_one_line_and_exit_code_5() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other folder");
    fs::create_dir(&other).unwrap();
    let text = dir.path().join("text");
    fs::write(&text, b"no model").unwrap();
    let garbage = Server::start(b"<html>blocked</html>".to_vec(), vec![Manner::Whole]);
    let nothing = Server::start(Vec::new(), vec![Manner::Status("404 Not Found")]);
    let (other, text) = (other.to_str().unwrap(), text.to_str().unwrap());
    let cases: [(&str, &[&str], &str); 12] = [
        (
            NOBODY,
            &["pull", "nonsense"],
            "no model called nonsense to fetch",
        ),
        (NOBODY, &["pull", "base-q4_0"], "no model called base-q4_0"),
        (NOBODY, &["pull", "small"], "only the hub has this model"),
        (
            garbage.address(),
            &["pull", "tiny"],
            "and not the published",
        ),
        (garbage.address(), &["pull", "tiny.en"], "nothing was kept"),
        (nothing.address(), &["pull", "tiny.en"], "answered with 404"),
        (NOBODY, &["remove", "tiny"], "tiny is not installed"),
        (NOBODY, &["remove", "../text"], "cannot be a model's name"),
        (NOBODY, &["path", "tiny"], "model pull tiny"),
        (NOBODY, &["import", other], "choose one with --name"),
        (
            NOBODY,
            &["import", other, "--name", "x"],
            "neither model.bin",
        ),
        (NOBODY, &["import", text], "is not a folder"),
    ];
    for (hub, arguments, expected) in cases {
        let models = dir.path().join("models");
        let output = engine(&models, hub, arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(5), "{arguments:?}: {said}");
        let last = said.lines().last().unwrap();
        assert!(
            last.starts_with("wstream-engine: "),
            "{arguments:?}: {said}"
        );
        assert!(last.contains(expected), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        if models.exists() {
            assert!(names(&models).is_empty(), "{arguments:?} left something");
        }
    }
}

#[test]
fn without_hub_and_pip_the_way_out_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_wstream-engine"))
        .args(["model", "pull", "tiny.en"])
        .env("WSTREAM_MODELS_DIR", dir.path())
        .env("WSTREAM_MODEL_HUB", NOBODY)
        .env("NO_PROXY", "127.0.0.1")
        .env("PATH", dir.path())
        .output()
        .unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(5), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.contains("install python3-pip, or copy"), "{said}");
    assert!(names(dir.path()).is_empty());
}

#[test]
fn usage_is_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        &["pull"][..],
        &["fetch", "tiny"],
        &["recommend", "--threads", "0"],
    ] {
        let output = engine(dir.path(), NOBODY, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn damaged_models_are_listed_removed_and_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let list = || -> serde_json::Value {
        let output = engine(dir.path(), NOBODY, &["list", "--json"]);
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(list()["installed"], serde_json::json!([]));
    assert_eq!(list()["available"].as_array().unwrap().len(), 29);

    let path = dir.path().join("ggml-tiny.bin");
    fs::write(&path, b"lmgg and no more").unwrap();
    let installed = &list()["installed"][0];
    assert_eq!(installed["name"], "tiny");
    assert_eq!(installed["bytes"], 16);
    let fault = installed["fault"].as_str().unwrap();
    assert!(fault.contains("damaged"), "{fault}");

    let server = Server::start(Vec::new(), vec![Manner::Status("404 Not Found")]);
    let output = engine(dir.path(), server.address(), &["pull", "tiny"]);
    assert!(
        stderr(&output).contains("fetching it again"),
        "{}",
        stderr(&output)
    );
    assert_eq!(server.requests().len(), 1);

    let output = engine(dir.path(), NOBODY, &["path", "tiny"]);
    assert_eq!(stdout(&output).trim_end(), path.to_str().unwrap());
    let part = dir.path().join("ggml-tiny.bin.part");
    fs::write(part, b"half").unwrap();
    let output = engine(dir.path(), NOBODY, &["remove", "tiny"]);
    assert!(output.status.success());
    assert!(names(dir.path()).is_empty());
}

#[test]
fn the_recommended_model_can_be_pulled() {
    let dir = tempfile::tempdir().unwrap();
    let output = engine(dir.path(), NOBODY, &["recommend", "--threads", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let name = stdout(&output).trim_end().to_owned();
    assert!(["base", "tiny.en"].contains(&name.as_str()), "{name}");
    let reason = stderr(&output);
    assert!(
        reason.starts_with("base takes ") && reason.contains("limit of 1.0 s"),
        "{reason}"
    );
    assert!(names(dir.path()).is_empty());
}
