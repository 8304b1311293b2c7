//! Listeners: one per serving thread on one address, so that the kernel spreads the connections (SO_REUSEPORT).
//!
//! SO_REUSEPORT alone would let a second program of the same user bind the same port and take half of our clients. So
//! the first socket binds without it, which fails when anybody holds the port, and gets the option before it listens;
//! the others join. (A probe that is closed again was rejected: another program may take the port between.)

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};

use super::errors::StartError;

const BACKLOG: i32 = 1024;

/// `count` listeners on `listen`; port 0 picks one free port for all.
pub fn listen(listen: &str, count: usize) -> Result<Vec<TcpListener>, StartError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortBusy {
            listen: listen.into(),
        },
        _ => StartError::Listen {
            listen: listen.into(),
            source,
        },
    };
    let address = resolve(listen)?;
    let first = bind(address, false).map_err(failed)?;
    let bound = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    for _ in 1..count.max(1) {
        listeners.push(bind(bound, true).map_err(failed)?);
    }
    Ok(listeners)
}

fn resolve(listen: &str) -> Result<SocketAddr, StartError> {
    let bad = || StartError::BadAddress {
        listen: listen.into(),
    };
    listen
        .to_socket_addrs()
        .map_err(|_| bad())?
        .next()
        .ok_or_else(bad)
}

fn bind(address: SocketAddr, joins: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if joins {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_listeners_share_one_free_port() {
        let listeners = listen("127.0.0.1:0", 3).unwrap();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|l| l.local_addr().unwrap().port())
            .collect();
        assert_ne!(ports[0], 0);
        assert!(ports.iter().all(|port| *port == ports[0]));
    }

    #[test]
    fn a_held_port_is_refused_even_though_it_is_shared_between_threads() {
        let held = listen("127.0.0.1:0", 2).unwrap();
        let address = held[0].local_addr().unwrap().to_string();
        assert!(matches!(
            listen(&address, 2),
            Err(StartError::PortBusy { .. })
        ));
    }

    #[test]
    fn nonsense_is_no_address() {
        assert!(matches!(
            listen("nowhere", 1),
            Err(StartError::BadAddress { .. })
        ));
    }
}
