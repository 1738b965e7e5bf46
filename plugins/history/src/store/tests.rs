use super::*;

fn new(at_ms: i64, text: &str) -> New {
    New {
        at_ms,
        text: text.to_owned(),
        ..New::default()
    }
}

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("wstream/history.sqlite")).unwrap()
}

fn texts(store: &Store, filter: &Filter) -> Vec<String> {
    let entries = store.entries(filter).unwrap();
    entries.into_iter().map(|entry| entry.text).collect()
}

fn count(store: &Store) -> usize {
    store.entries(&Filter::default()).unwrap().len()
}

fn words(words: &str) -> Filter {
    Filter {
        words: Some(words.to_owned()),
        ..Filter::default()
    }
}

#[test]
fn what_was_kept_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let full = New {
        at_ms: 1_764_000_000_123,
        text: "Grüße an alle".to_owned(),
        raw: Some("Grüße an alle.".to_owned()),
        language: Some("de".to_owned()),
        duration_s: Some(1.5),
        backend: Some("local".to_owned()),
    };
    store
        .add([&full, &new(1_764_000_001_000, "the quick brown fox")])
        .unwrap();
    assert_eq!(count(&store), 2);
    let all = store.entries(&Filter::default()).unwrap();
    assert_eq!(all[0].time, "2025-11-24T16:00:00.123Z");
    assert_eq!(all[0].raw.as_deref(), Some("Grüße an alle."));
    for (query, found) in [
        ("quick", 1),
        ("QUICK fox", 1),
        ("\"brown fox\"", 1),
        ("\"fox brown\"", 0),
        ("qui", 0),
        ("qui*", 1),
        ("grusse", 0),
        ("gruße", 1),
        ("AND OR (", 0),
        ("quick OR alle", 0),
        ("-", 0),
        ("", 0),
        ("'; DROP TABLE entries; --", 0),
    ] {
        assert_eq!(texts(&store, &words(query)).len(), found, "{query}");
    }
    let newest = Filter {
        most: Some(1),
        ..Filter::default()
    };
    assert_eq!(texts(&store, &newest), ["the quick brown fox"]);
    drop(store);
    // It is there the next time.
    assert_eq!(count(&open(&dir)), 2);
}

#[test]
fn nobody_else_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = open(&dir).path.clone();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    open(&dir);
    assert_eq!(mode(&path), 0o600);
}

/// Whether the bytes of `text` are anywhere in the files beside the history.
fn is_on_disk(dir: &tempfile::TempDir, text: &str) -> bool {
    let files = std::fs::read_dir(dir.path().join("wstream")).unwrap();
    files.into_iter().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    })
}

#[test]
fn what_was_deleted_is_nowhere_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    // Enough for several pages of table and index, and segments that were merged.
    for round in 0..40 {
        let many: Vec<New> = (0..25)
            .map(|n| {
                new(
                    round * 1000 + n,
                    &format!("ordinary words number {n} in round {round}"),
                )
            })
            .collect();
        store.add(&many).unwrap();
        let secret = new(round, &format!("the xyzzyplugh{round} secret"));
        store.add([&secret]).unwrap();
    }
    assert!(is_on_disk(&dir, "xyzzyplugh"));
    assert_eq!(store.delete(&words("xyzzyplugh*")).unwrap(), 40);
    assert!(!is_on_disk(&dir, "xyzzyplugh"), "after delete");
    assert!(texts(&store, &words("xyzzyplugh*")).is_empty());

    // The same by retention, which does not write the file anew.
    for round in 0..40 {
        let secret = new(-1000 - round, &format!("the plughxyzzy{round} secret"));
        store.add([&secret, &new(50_000, "more words")]).unwrap();
    }
    assert!(is_on_disk(&dir, "plughxyzzy"));
    assert_eq!(store.prune(Some(-500), 1_000_000).unwrap(), 40);
    assert!(!is_on_disk(&dir, "plughxyzzy"), "after prune");
    // The index is whole.
    store
        .connection
        .execute_batch("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
        .unwrap();
    store.delete(&Filter::default()).unwrap();
    assert_eq!(count(&store), 0);
    assert!(!is_on_disk(&dir, "ordinary"), "after everything");
}

#[test]
fn age_and_number_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let many: Vec<New> = (0..10).map(|n| new(n, &format!("text{n}"))).collect();
    store.add(&many).unwrap();
    assert_eq!(store.prune(None, 10).unwrap(), 0);
    assert_eq!(store.prune(Some(2), 10).unwrap(), 2);
    assert_eq!(store.prune(None, 3).unwrap(), 5);
    assert_eq!(
        texts(&store, &Filter::default()),
        ["text7", "text8", "text9"]
    );
    // Numbers are not used again.
    store.delete(&Filter::default()).unwrap();
    store.add([&new(1, "later")]).unwrap();
    assert_eq!(store.entries(&Filter::default()).unwrap()[0].id, 11);
}

#[test]
fn times_are_taken_as_people_write_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    let day = 86_400_000;
    assert_eq!(store.time_ms("7d", 10 * day).unwrap(), 3 * day);
    assert_eq!(store.time_ms("12h", day).unwrap(), day / 2);
    let date = store.time_ms("2026-11-26", 0).unwrap();
    let time = store.time_ms("2026-11-26 14:30", 0).unwrap();
    assert_eq!(time - date, (14 * 60 + 30) * 60_000);
    for wrong in [
        "",
        "yesterday",
        "26.11.2026",
        "12",
        "now",
        "-1d x",
        "99999999999999999999d",
    ] {
        assert!(
            matches!(store.time_ms(wrong, 0), Err(StoreError::Time(_))),
            "{wrong}"
        );
    }
}

#[test]
fn what_is_wrong_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.sqlite");
    std::fs::write(
        &path,
        "this is no database, and it is longer than a header of SQLite is. ".repeat(20),
    )
    .unwrap();
    assert!(matches!(
        Store::open(&path),
        Err(StoreError::Damaged { .. })
    ));

    std::fs::remove_file(&path).unwrap();
    let store = Store::open(&path).unwrap();
    store
        .connection
        .pragma_update(None, "user_version", 99)
        .unwrap();
    drop(store);
    assert!(matches!(Store::open(&path), Err(StoreError::Newer { .. })));

    let blocked = dir.path().join("file/history.sqlite");
    std::fs::write(dir.path().join("file"), "").unwrap();
    assert!(matches!(
        Store::open(&blocked),
        Err(StoreError::Open { .. })
    ));

    // A page limit is what a full disk looks like to SQLite.
    std::fs::remove_file(&path).unwrap();
    let mut store = Store::open(&path).unwrap();
    store
        .connection
        .pragma_update(None, "max_page_count", 20)
        .unwrap();
    let long = new(1, &"words ".repeat(50_000));
    let full = store.add([&long]).unwrap_err();
    assert!(matches!(full, StoreError::Full { .. }), "{full:?}");
    // Nothing of it is there, and there is room for less.
    assert_eq!(count(&store), 0);
    store.add([&new(1, "short")]).unwrap();
}

#[test]
fn two_processes_may_open_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.sqlite");
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut store = Store::open(&path).unwrap();
                store.add([&new(n, "text")]).unwrap();
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(count(&Store::open(&path).unwrap()), 8);
}
