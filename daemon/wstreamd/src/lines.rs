//! The lines that another process writes, as they come.

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// The longest line that is passed on whole; a longer one comes in parts.
const LONGEST: usize = 4096;

/// Calls `line` with each line, without white space at its end, until there are no more.
pub(crate) async fn each(source: impl AsyncRead + Unpin, mut line: impl FnMut(&str)) {
    let mut source = BufReader::with_capacity(LONGEST, source);
    let mut bytes: Vec<u8> = Vec::new();
    let mut pass_on = |bytes: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(bytes);
        if !text.trim_end().is_empty() {
            line(text.trim_end());
        }
        bytes.clear();
    };
    loop {
        let (used, ends) = match source.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(new) => match new.iter().position(|&byte| byte == b'\n') {
                Some(at) => {
                    bytes.extend_from_slice(&new[..at]);
                    (at + 1, true)
                }
                None => {
                    bytes.extend_from_slice(new);
                    (new.len(), false)
                }
            },
        };
        source.consume(used);
        if ends || bytes.len() >= LONGEST {
            pass_on(&mut bytes);
        }
    }
    pass_on(&mut bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_long_ones_in_parts_and_the_last_without_its_end() {
        let long = "x".repeat(LONGEST + 10);
        let text = format!("one\n\ntwo \n{long}\nlast");
        let mut lines = Vec::new();
        each(text.as_bytes(), |line| lines.push(line.to_owned())).await;
        assert_eq!(lines[..2], ["one", "two"]);
        assert_eq!(lines[lines.len() - 1], "last");
        assert_eq!(lines[2..lines.len() - 1].concat(), long);
        let mut seen = 0;
        each(&b"a\xff\n"[..], |_| seen += 1).await;
        assert_eq!(seen, 1);
    }
}
