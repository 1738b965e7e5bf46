//! The database: the one place that knows SQLite.
//!
//! What is deleted is overwritten: `secure_delete` for the table, FTS5's own for the index, no
//! write-ahead log that would keep it for longer, and temporary tables in memory only. What the
//! file system keeps of a rollback journal that was there for an instant is beyond us.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Transaction, TransactionBehavior, params,
};

use crate::entry::{Entry, New};

/// Version of the tables, in the file's `user_version`.
const VERSION: i64 = 1;

/// How long another process, such as an export, may hold the database.
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms INTEGER NOT NULL,
        text TEXT NOT NULL,
        raw TEXT,
        language TEXT,
        duration_s REAL,
        backend TEXT
    ) STRICT;
    CREATE INDEX entries_by_time ON entries (at_ms);
    CREATE VIRTUAL TABLE words USING fts5 (
        text, content = 'entries', content_rowid = 'id',
        tokenize = \"unicode61 remove_diacritics 2\"
    );
    INSERT INTO words (words, rank) VALUES ('secure-delete', 1);
    CREATE TRIGGER entry_kept AFTER INSERT ON entries BEGIN
        INSERT INTO words (rowid, text) VALUES (new.id, new.text);
    END;
    CREATE TRIGGER entry_deleted AFTER DELETE ON entries BEGIN
        INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
    END;
    PRAGMA user_version = 1;
";

/// Why the history cannot be read or written. Each ends with what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{path}: no room on the disk: free some, nothing is kept until then")]
    Full { path: PathBuf },
    #[error("{path}: cannot be written: look at the permissions of the file and its folder")]
    ReadOnly { path: PathBuf },
    #[error("{path}: is damaged, or no history: move it away to begin a new one")]
    Damaged { path: PathBuf },
    #[error("{path}: another program holds it: try again")]
    Busy { path: PathBuf },
    #[error("{path}: is of a newer version of wstream: update it, or move the file away")]
    Newer { path: PathBuf },
    #[error(
        "{path}: cannot be opened ({source}): look at the permissions of the file and its folder"
    )]
    Open {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{0:?} is no time: use 2026-11-26, \"2026-11-26 14:30\", or an age such as 7d or 12h")]
    Time(String),
    #[error("{path}: {source}")]
    Other {
        path: PathBuf,
        source: rusqlite::Error,
    },
}

/// Which entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// All of these words, or phrases in quotes.
    pub(crate) words: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) since_ms: Option<i64>,
    pub(crate) before_ms: Option<i64>,
    pub(crate) ids: Vec<i64>,
    /// The newest of them only.
    pub(crate) most: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the history at `path`, which is made where it does not exist.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Open {
            path: path.to_owned(),
            source,
        };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(failed)?;
        }
        // Nobody else may read it; the journal gets the same mode from SQLite. Made without opening
        // it: a descriptor that is closed takes the locks of all others of the process along.
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let kind = rustix::fs::FileType::RegularFile;
        match rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(failed(error.into())),
        }
        let permissions = std::fs::metadata(path).map_err(failed)?.permissions();
        if permissions.mode() & 0o077 != 0 {
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(path, private).map_err(failed)?;
        }
        let store = Store {
            connection: Connection::open(path).map_err(|error| told(path, error))?,
            path: path.to_owned(),
        };
        store.prepare().map_err(|error| told(path, error))?;
        match store.version().map_err(|error| told(path, error))? {
            VERSION => Ok(store),
            _ => Err(StoreError::Newer {
                path: path.to_owned(),
            }),
        }
    }

    fn prepare(&self) -> rusqlite::Result<()> {
        let connection = &self.connection;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "journal_mode", "delete")?;
        connection.pragma_update(None, "secure_delete", "on")?;
        connection.pragma_update(None, "temp_store", "memory")?;
        if self.version()? == 0 {
            // Two processes may begin at once; the second finds the tables of the first.
            connection.execute_batch("BEGIN IMMEDIATE")?;
            if self.version()? == 0 {
                connection.execute_batch(TABLES)?;
            }
            connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    fn version(&self) -> rusqlite::Result<i64> {
        self.connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
    }

    /// A transaction that writes from the beginning, so that it waits for others instead of failing.
    fn begin(&mut self) -> rusqlite::Result<Transaction<'_>> {
        let behavior = TransactionBehavior::Immediate;
        self.connection.transaction_with_behavior(behavior)
    }

    /// Keeps all of `entries` or none.
    pub(crate) fn add<'a>(
        &mut self,
        entries: impl IntoIterator<Item = &'a New>,
    ) -> Result<(), StoreError> {
        let added = (|| {
            let transaction = self.begin()?;
            for new in entries {
                transaction
                    .prepare(
                        "INSERT INTO entries (at_ms, text, raw, language, duration_s, backend)
                         VALUES (?, ?, ?, ?, ?, ?)",
                    )?
                    .execute(params![
                        new.at_ms,
                        new.text,
                        new.raw,
                        new.language,
                        new.duration_s,
                        new.backend
                    ])?;
            }
            transaction.commit()
        })();
        added.map_err(|error| told(&self.path, error))
    }

    /// Deletes what is older than `oldest_ms` or beyond the newest `most`; how many that were.
    pub(crate) fn prune(&mut self, oldest_ms: Option<i64>, most: u32) -> Result<usize, StoreError> {
        let pruned = (|| {
            let transaction = self.begin()?;
            let beyond: Option<i64> = transaction
                .prepare("SELECT id FROM entries ORDER BY id DESC LIMIT 1 OFFSET ?")?
                .query_row([most], |row| row.get(0))
                .optional()?;
            let count = transaction
                .prepare("DELETE FROM entries WHERE at_ms < ?1 OR id <= ?2")?
                .execute(params![oldest_ms.unwrap_or(i64::MIN), beyond.unwrap_or(-1)])?;
            transaction.commit()?;
            Ok(count)
        })();
        pruned.map_err(|error| told(&self.path, error))
    }

    /// The entries that `filter` names, oldest first.
    pub(crate) fn entries(&self, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
        let (condition, values) = condition(filter);
        let most = filter.most.map_or(-1, i64::from);
        let sql = format!(
            "SELECT * FROM (
                SELECT id,
                    strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS time,
                    strftime('%Y-%m-%d %H:%M', at_ms / 1000, 'unixepoch', 'localtime') AS local,
                    text, raw, language, duration_s, backend
                FROM entries WHERE {condition} ORDER BY id DESC LIMIT {most}
            ) ORDER BY id"
        );
        let read: rusqlite::Result<Vec<Entry>> = (|| {
            let mut statement = self.connection.prepare(&sql)?;
            let rows = statement.query_map(rusqlite::params_from_iter(values), |row| {
                Ok(Entry {
                    id: row.get(0)?,
                    time: row.get(1)?,
                    local_time: row.get(2)?,
                    text: row.get(3)?,
                    raw: row.get(4)?,
                    language: row.get(5)?,
                    duration_s: row.get(6)?,
                    backend: row.get(7)?,
                })
            })?;
            rows.collect()
        })();
        read.map_err(|error| told(&self.path, error))
    }

    /// Deletes the entries that `filter` names; how many that were.
    pub(crate) fn delete(&mut self, filter: &Filter) -> Result<usize, StoreError> {
        let (condition, values) = condition(filter);
        let deleted = (|| {
            let transaction = self.begin()?;
            let count = transaction.execute(
                &format!("DELETE FROM entries WHERE {condition}"),
                rusqlite::params_from_iter(values),
            )?;
            transaction.commit()?;
            // The index, too, is written anew without the words, and the file gets smaller.
            self.connection.execute_batch("VACUUM")?;
            Ok(count)
        })();
        deleted.map_err(|error| told(&self.path, error))
    }

    /// Milliseconds since 1970 of a time as the user writes it: a date, a date with a time, or an
    /// age such as `7d`, counted from `now_ms`.
    pub(crate) fn time_ms(&self, written: &str, now_ms: i64) -> Result<i64, StoreError> {
        let bad = || StoreError::Time(written.to_owned());
        let age = [
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
            ("w", 604_800_000),
        ]
        .iter()
        .find_map(|(unit, ms)| {
            let number: i64 = written.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*ms)
        });
        if let Some(age) = age {
            return Ok(now_ms.saturating_sub(age));
        }
        if !written.starts_with(|c: char| c.is_ascii_digit()) || !written.contains('-') {
            return Err(bad());
        }
        let seconds: Option<i64> = self
            .connection
            .query_row("SELECT unixepoch(?, 'utc')", [written], |row| row.get(0))
            .map_err(|error| told(&self.path, error))?;
        Ok(seconds.ok_or_else(bad)? * 1000)
    }
}

/// The condition for `filter`, with its values.
fn condition(filter: &Filter) -> (String, Vec<rusqlite::types::Value>) {
    use rusqlite::types::Value;
    let mut parts = vec!["1".to_owned()];
    let mut values = Vec::new();
    if let Some(words) = &filter.words {
        parts.push("id IN (SELECT rowid FROM words WHERE words MATCH ?)".to_owned());
        values.push(Value::Text(query(words)));
    }
    if let Some(since) = filter.since_ms {
        parts.push("at_ms >= ?".to_owned());
        values.push(Value::Integer(since));
    }
    if let Some(before) = filter.before_ms {
        parts.push("at_ms < ?".to_owned());
        values.push(Value::Integer(before));
    }
    if !filter.ids.is_empty() {
        let ids: Vec<String> = filter.ids.iter().map(i64::to_string).collect();
        parts.push(format!("id IN ({})", ids.join(",")));
    }
    (parts.join(" AND "), values)
}

/// What the user looks for in FTS5's language: every word, or beginning of one that ends in `*`,
/// or phrase in quotes. None of the language's own words and signs mean anything.
fn query(words: &str) -> String {
    let mut parts = Vec::new();
    for (index, piece) in words.split('"').enumerate() {
        let is_phrase = index % 2 == 1;
        if is_phrase {
            parts.push(piece.to_owned());
        } else {
            parts.extend(piece.split_whitespace().map(str::to_owned));
        }
    }
    let quoted = parts
        .iter()
        .filter(|part| part.contains(char::is_alphanumeric));
    let quoted: Vec<String> = quoted
        .map(|part| match part.strip_suffix('*') {
            Some(beginning) => format!("\"{beginning}\"*"),
            None => format!("\"{part}\""),
        })
        .collect();
    if quoted.is_empty() {
        // Nothing is looked for, so nothing is found.
        return "\"\"".to_owned();
    }
    quoted.join(" ")
}

fn told(path: &Path, error: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full { path },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            StoreError::ReadOnly { path }
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { path },
        _ => StoreError::Other {
            path,
            source: error,
        },
    }
}

#[cfg(test)]
mod tests;
