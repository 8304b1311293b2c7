//! Where a request came from, beside its message.

use std::net::SocketAddr;

use http::HeaderMap;
use tonic::{Extensions, Request};

use super::connection::Connection;

/// Of a call of its own, or of the stream that it is one of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// By whose connection it came.
    pub peer: Option<SocketAddr>,
    /// The transport's timeout.
    pub timeout_ms: Option<u64>,
}

impl Origin {
    pub fn of<T>(request: &Request<T>) -> Self {
        match request.extensions().get::<Self>() {
            Some(origin) => *origin,
            None => Self::by(request.metadata().as_ref(), request.extensions()),
        }
    }

    /// Of a call, by what came with its message.
    pub fn by(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let timeout = headers.get("grpc-timeout");
        Self {
            peer: Connection::of(extensions).map(|connection| connection.peer),
            timeout_ms: timeout.and_then(|value| timeout_ms(value.to_str().ok()?)),
        }
    }

    /// The call that `message` would have been.
    pub fn request<T>(self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(self);
        request
    }
}

/// `grpc-timeout`: at most eight digits and a unit.
fn timeout_ms(value: &str) -> Option<u64> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(count * 3_600_000),
        "M" => Some(count * 60_000),
        "S" => Some(count * 1000),
        "m" => Some(count),
        "u" => Some(count / 1000),
        "n" => Some(count / 1_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transport_says_how_long() {
        for bad in ["", "5", "m", "123456789m", "-1S", "5x"] {
            assert_eq!(timeout_ms(bad), None, "{bad:?}");
        }
        assert_eq!(timeout_ms("2S"), Some(2000));
        let mut request = Request::new(());
        request
            .metadata_mut()
            .insert("grpc-timeout", "200m".parse().unwrap());
        let origin = Origin::of(&request);
        assert_eq!(origin.timeout_ms, Some(200));
        assert_eq!(Origin::of(&origin.request("again")), origin);
    }
}
