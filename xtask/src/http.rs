//! Asks a local HTTP server for one page, to see whether it is ready.
//!
//! By hand, since all that is wanted is the status of a plain request on loopback; a client
//! library would double the time in which a newcomer's first `cargo xtask` is built.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);
const MOST_BYTES: u64 = 1 << 20;

/// The status of `GET path`.
///
/// # Errors
/// When there is no connection or no HTTP answer within two seconds.
pub(crate) fn status(address: SocketAddr, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut head = Vec::new();
    // To the end, lest the server sees a broken connection; a page of ours is far smaller.
    stream.take(MOST_BYTES).read_to_end(&mut head)?;
    parse_status(&head).ok_or_else(|| io::Error::other("no HTTP answer"))
}

fn parse_status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line)
        .ok()?
        .strip_prefix("HTTP/1.")?
        .get(2..5)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_the_first_line() {
        assert_eq!(
            parse_status(b"HTTP/1.1 503 Service Unavailable\r\n"),
            Some(503)
        );
        assert_eq!(parse_status(b"HTTP/1.0 200 OK\r\n"), Some(200));
        assert_eq!(parse_status(b"SSH-2.0-OpenSSH\r\n"), None);
    }
}
