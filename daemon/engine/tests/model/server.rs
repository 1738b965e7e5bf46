//! A web server with one file, that misbehaves as it is told to.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What the server does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Sends the file, or the part that is asked for.
    Whole,
    /// Ends the connection after so many bytes.
    CutAfter(usize),
    /// Sends the whole file whatever is asked for.
    IgnoreRange,
    /// Sends the file without saying how long it is.
    NoLength,
    /// Answers with this status.
    Status(&'static str),
}

/// Runs until the test ends.
#[derive(Debug)]
pub(crate) struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
}

impl Server {
    /// Serves `file`; the first request is answered in the first manner, and so on, all after the
    /// last manner in that.
    pub(crate) fn start(file: Vec<u8>, manners: Vec<Manner>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let manner = manners[index.min(manners.len() - 1)];
                // A client that hangs up is no failure of the server.
                let _ = answer(stream.unwrap(), &file, manner, &seen);
            }
        });
        Server { address, requests }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The ranges that were asked for.
    pub(crate) fn ranges(&self) -> Vec<Option<String>> {
        self.requests()
            .into_iter()
            .map(|request| request.range)
            .collect()
    }
}

fn answer(
    mut stream: TcpStream,
    file: &[u8],
    manner: Manner,
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut range = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("range")
        {
            range = Some(value.trim().to_owned());
        }
    }
    seen.lock().unwrap().push(Request {
        path,
        range: range.clone(),
    });

    let start = match (manner, range) {
        (Manner::IgnoreRange, _) | (_, None) => 0,
        (_, Some(range)) => range
            .trim_start_matches("bytes=")
            .trim_end_matches('-')
            .parse()
            .unwrap(),
    };
    let (status, body) = match manner {
        Manner::Status(status) => (status, &b"go away"[..]),
        _ if start >= file.len() => ("416 Range Not Satisfiable", &b""[..]),
        _ if start > 0 => ("206 Partial Content", &file[start..]),
        _ => ("200 OK", file),
    };
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n")?;
    if start > 0 {
        let (last, length) = (file.len() - 1, file.len());
        write!(stream, "Content-Range: bytes {start}-{last}/{length}\r\n")?;
    }
    if !matches!(manner, Manner::NoLength) {
        write!(stream, "Content-Length: {}\r\n", body.len())?;
    }
    write!(stream, "\r\n")?;
    let sent = match manner {
        Manner::CutAfter(bytes) => &body[..bytes.min(body.len())],
        _ => body,
    };
    stream.write_all(sent)?;
    stream.shutdown(Shutdown::Both)
}
