//! Free ports on loopback.

use std::net::{Ipv4Addr, TcpListener};

/// A port that nobody listens on right now. Somebody else may take it before the caller
/// does, so where a server can choose its own port, let it.
///
/// # Panics
/// When the machine has no loopback or no port left.
pub fn free() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener
        .local_addr()
        .expect("a bound listener has an address")
        .port()
}

/// Takes a port and holds it, so that a server finds it in use.
///
/// # Panics
/// When the machine has no loopback or no port left.
pub fn occupied() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    let port = listener
        .local_addr()
        .expect("a bound listener has an address")
        .port();
    (listener, port)
}
