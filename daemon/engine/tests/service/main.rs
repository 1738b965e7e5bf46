//! The engine as a service for others: who gets in, what each may take, what hostile clients get,
//! and how it ends.
//!
//! The real program with a real model. Needs `tiny.en` among the installed models; without it each
//! test says so and passes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test code: a panic is the report, and a skipped test says so"
)]

#[path = "../program/mod.rs"]
mod program;

mod door;
mod drain;
mod hostile;
mod hours;
mod limits;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Sends `bytes` and reads until the server closes.
async fn raw(stream: &mut TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// A connection that comes from `own`, an address of this machine.
async fn from(own: &str, address: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{own}:0").parse().unwrap()).unwrap();
    socket.connect(address.parse().unwrap()).await.unwrap()
}
