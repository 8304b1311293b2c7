//! What a request's header says that is worth keeping, and how it gets from who decodes the message to who sees the end.
//!
//! The end is seen outermost of all, where a call is nothing but bytes; the header, where the message is read. In between
//! is a stack of generic services. But reading happens inside of a poll of the outermost future, on the same thread: so
//! who polls says that it wants to know (`expect`), who reads leaves it here (`note`), and who polled takes it (`found`).
//! (Extensions of the request were rejected: an allocation for every request, for what few of them need.)

use std::cell::Cell;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aidb_client::pb;

use super::trace::Trace;

#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub client: u64,
    pub seq: u64,
    pub attempt: u32,
    pub trace: Option<Trace>,
    pub span: Option<Span>,
}

/// This program's own part of a trace.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Never 0.
    pub id: u64,
    pub began: Instant,
    pub began_unix_ns: u64,
}

impl Span {
    fn begin() -> Self {
        Self {
            id: fastrand::u64(1..),
            began: Instant::now(),
            began_unix_ns: unix_ns(),
        }
    }
}

impl Seen {
    /// With `traces`, a sampled request gets a span of its own here, which whoever is asked for it next is told as its
    /// parent; any other trace context goes on as it came.
    pub fn of(header: Option<&mut pb::RequestHeader>, traces: bool) -> Self {
        let Some(header) = header else {
            return Self::default();
        };
        let (client, seq) = header.request_id.map_or((0, 0), |id| (id.client, id.seq));
        let trace = Trace::parse(&header.traceparent);
        let sampled = trace.filter(|trace| traces && trace.is_sampled());
        let span = sampled.map(|trace| {
            let span = Span::begin();
            header.traceparent = trace.within(span.id).to_string();
            span
        });
        Self {
            client,
            seq,
            attempt: header.attempt,
            trace,
            span,
        }
    }
}

pub fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

#[derive(Clone, Copy)]
enum Noting {
    Nobody,
    Expected { traces: bool },
    Noted(Seen),
}

thread_local! {
    static NOTING: Cell<Noting> = const { Cell::new(Noting::Nobody) };
}

/// Before a poll.
pub fn expect(traces: bool) {
    NOTING.set(Noting::Expected { traces });
}

/// After it; None: the message has not come yet.
pub fn found() -> Option<Seen> {
    match NOTING.replace(Noting::Nobody) {
        Noting::Noted(seen) => Some(seen),
        Noting::Nobody | Noting::Expected { .. } => None,
    }
}

/// By who has read a message.
pub fn note(message: &mut impl Headed) {
    if let Noting::Expected { traces } = NOTING.get() {
        NOTING.set(Noting::Noted(Seen::of(message.header(), traces)));
    }
}

/// A request's message.
pub trait Headed {
    fn header(&mut self) -> Option<&mut pb::RequestHeader>;
}

macro_rules! headed {
    ($($message:ident),*) => {$(
        impl Headed for pb::$message {
            fn header(&mut self) -> Option<&mut pb::RequestHeader> {
                self.header.as_mut()
            }
        }
    )*};
}

headed!(
    GetRequest,
    PutRequest,
    DeleteRequest,
    BatchGetRequest,
    BatchPutRequest,
    ScanRequest,
    WatchRequest
);

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: &str) -> pb::RequestHeader {
        pb::RequestHeader {
            request_id: Some(pb::RequestId { client: 7, seq: 3 }),
            attempt: 1,
            traceparent: format!("00-{:032x}-{:016x}-{flags}", 5, 6),
            ..Default::default()
        }
    }

    #[test]
    fn what_follows_a_sampled_request_is_told_of_its_span() {
        let mut sampled = header("01");
        let seen = Seen::of(Some(&mut sampled), true);
        assert_eq!((seen.client, seen.seq, seen.attempt), (7, 3, 1));
        let (trace, span) = (seen.trace.unwrap(), seen.span.unwrap());
        assert_eq!((trace.id, trace.parent), (5, 6));
        assert_eq!(
            Trace::parse(&sampled.traceparent),
            Some(trace.within(span.id))
        );
    }

    #[test]
    fn other_contexts_go_on_as_they_came() {
        for (flags, traces) in [("00", true), ("01", false)] {
            let mut plain = header(flags);
            let seen = Seen::of(Some(&mut plain), traces);
            assert!(seen.trace.is_some() && seen.span.is_none());
            assert_eq!(plain, header(flags));
        }
        let mut odd = pb::RequestHeader {
            traceparent: "odd".into(),
            ..Default::default()
        };
        assert!(Seen::of(Some(&mut odd), true).trace.is_none());
        assert_eq!(odd.traceparent, "odd");
    }

    #[test]
    fn a_note_reaches_the_call_that_is_polled() {
        let mut get = pb::GetRequest {
            header: Some(header("01")),
            ..Default::default()
        };
        note(&mut get);
        assert!(found().is_none(), "nobody wants to know");
        expect(true);
        assert!(found().is_none(), "nothing came");
        expect(false);
        note(&mut get);
        assert_eq!(found().unwrap().seq, 3);
        assert!(found().is_none(), "it is told once");
        expect(false);
        note(&mut pb::ScanRequest::default());
        assert_eq!(found().unwrap().seq, 0);
    }
}
