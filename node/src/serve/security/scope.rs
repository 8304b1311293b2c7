//! What a token is limited to: some keyspaces, keys with some prefixes, or both.
//!
//! A request is within its caller's scope as a whole or not at all, so that nothing of a refused one is done: a batch by
//! each of its keys, a scan by its bounds, which have to lie within one prefix. Messages that name no keys are not
//! limited: they show figures, and their level is what opens them.

use aidb_client::error::refuse;
use aidb_client::key::successor;
use aidb_client::pb::{self, ErrorCode};
use bytes::Bytes;
use tonic::Status;

/// Named in a refusal.
const NAMED: usize = 5;

/// Empty lists allow all.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    pub keyspaces: Vec<u32>,
    pub prefixes: Vec<Vec<u8>>,
}

/// A message that reaches for keys.
pub trait Reaching {
    fn header(&self) -> Option<&pb::RequestHeader>;

    /// Whether all that it reaches for begins with one of these, which are some; or what does not.
    fn is_below(&self, prefixes: &[Vec<u8>]) -> Result<(), String>;
}

impl Scope {
    pub fn is_all(&self) -> bool {
        self.keyspaces.is_empty() && self.prefixes.is_empty()
    }

    /// Refuses with PERMISSION_DENIED what reaches beyond it.
    pub fn allows(&self, message: &impl Reaching) -> Result<(), Status> {
        let keyspace = message.header().map_or(0, |header| header.keyspace);
        if !self.keyspaces.is_empty() && !self.keyspaces.contains(&keyspace) {
            return Err(self.refusal(&format!("keyspace {keyspace} was asked for")));
        }
        match self.prefixes.is_empty() {
            true => Ok(()),
            false => message
                .is_below(&self.prefixes)
                .map_err(|beyond| self.refusal(&beyond)),
        }
    }

    fn refusal(&self, beyond: &str) -> Status {
        let spaces = self.keyspaces.iter().map(u32::to_string);
        let keys = self
            .prefixes
            .iter()
            .map(|prefix| format!("\"{}\"", prefix.escape_ascii()));
        let mut parts = Vec::new();
        if !self.keyspaces.is_empty() {
            parts.push(format!("in keyspace {}", named(spaces)));
        }
        if !self.prefixes.is_empty() {
            parts.push(format!("that begin with {}", named(keys)));
        }
        let limits = parts.join(", ");
        let message = format!(
            "this token is for keys {limits}, and {beyond}: ask an administrator for another (aidb-admin tokens create)"
        );
        refuse(ErrorCode::PermissionDenied, message)
    }
}

fn named(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(NAMED);
    let mut named = all.take(NAMED).collect::<Vec<_>>().join(" or ");
    if more > 0 {
        named += &format!(" or {more} more");
    }
    named
}

fn begins(key: &[u8], prefixes: &[Vec<u8>]) -> bool {
    prefixes.iter().any(|prefix| key.starts_with(prefix))
}

fn one(key: &[u8], prefixes: &[Vec<u8>]) -> Result<(), String> {
    match begins(key, prefixes) {
        true => Ok(()),
        false => Err("this key does not".into()),
    }
}

fn each<'k>(keys: impl Iterator<Item = &'k Bytes>, prefixes: &[Vec<u8>]) -> Result<(), String> {
    let mut beyond = keys.enumerate().filter(|(_, key)| !begins(key, prefixes));
    match beyond.next() {
        None => Ok(()),
        Some((index, _)) => Err(format!("number {index} of the batch's keys does not")),
    }
}

macro_rules! reaching {
    ($message:ident, |$asked:ident, $prefixes:ident| $below:expr) => {
        impl Reaching for pb::$message {
            fn header(&self) -> Option<&pb::RequestHeader> {
                self.header.as_ref()
            }

            fn is_below(&self, $prefixes: &[Vec<u8>]) -> Result<(), String> {
                let $asked = self;
                $below
            }
        }
    };
}

reaching!(GetRequest, |asked, prefixes| one(&asked.key, prefixes));
reaching!(PutRequest, |asked, prefixes| one(&asked.key, prefixes));
reaching!(DeleteRequest, |asked, prefixes| one(&asked.key, prefixes));
reaching!(BatchGetRequest, |asked, prefixes| each(
    asked.keys.iter(),
    prefixes
));
reaching!(BatchPutRequest, |asked, prefixes| each(
    asked.ops.iter().map(|op| &op.key),
    prefixes
));
reaching!(ScanRequest, |asked, prefixes| {
    let bounds = |prefix: &Vec<u8>| lies_below(asked, prefix);
    match prefixes.iter().any(bounds) {
        true => Ok(()),
        false => Err(
            "this scan reaches beyond them: scan with such a prefix, or a start and an end within one"
                .into(),
        ),
    }
});
// All keys of some slots.
reaching!(WatchRequest, |_asked, _prefixes| Err(
    "a watch reaches for all keys".into()
));

/// Whether nothing that `scan` may find begins otherwise. Where it goes on after (`resume_after`) only narrows it.
fn lies_below(scan: &pb::ScanRequest, prefix: &[u8]) -> bool {
    if scan.prefix.starts_with(prefix) {
        return true;
    }
    let after = successor(prefix.to_vec());
    let ends = !scan.end.is_empty() && after.is_none_or(|after| *scan.end <= *after);
    *scan.start >= *prefix && ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(keyspaces: &[u32], prefixes: &[&str]) -> Scope {
        Scope {
            keyspaces: keyspaces.to_vec(),
            prefixes: prefixes.iter().map(|prefix| (*prefix).into()).collect(),
        }
    }

    fn within(keyspace: u32) -> Option<pb::RequestHeader> {
        Some(pb::RequestHeader {
            keyspace,
            ..Default::default()
        })
    }

    fn get(keyspace: u32, key: &str) -> pb::GetRequest {
        pb::GetRequest {
            header: within(keyspace),
            key: Bytes::copy_from_slice(key.as_bytes()),
        }
    }

    fn scan(prefix: &str, start: &[u8], end: &[u8]) -> pb::ScanRequest {
        pb::ScanRequest {
            prefix: Bytes::copy_from_slice(prefix.as_bytes()),
            start: Bytes::copy_from_slice(start),
            end: Bytes::copy_from_slice(end),
            ..Default::default()
        }
    }

    #[test]
    fn a_key_counts_by_its_keyspace_and_its_prefix() {
        let scope = scope(&[3, 7], &["user:", "session:"]);
        assert!(scope.allows(&get(3, "user:1")).is_ok());
        assert!(scope.allows(&get(7, "session:")).is_ok());
        for (keyspace, key) in [
            (3, "users"),
            (3, "user"),
            (3, ""),
            (0, "user:1"),
            (4, "user:1"),
        ] {
            assert!(
                scope.allows(&get(keyspace, key)).is_err(),
                "{keyspace} {key}"
            );
        }
        let unnamed = pb::GetRequest {
            header: None,
            key: Bytes::from_static(b"user:1"),
        };
        assert!(scope.allows(&unnamed).is_err(), "no header is keyspace 0");
    }

    #[test]
    fn a_batch_is_within_or_not_as_a_whole() {
        let scope = scope(&[], &["a", "b"]);
        let keys = |keys: &[&'static str]| pb::BatchGetRequest {
            header: None,
            keys: keys
                .iter()
                .map(|key| Bytes::from_static(key.as_bytes()))
                .collect(),
        };
        assert!(scope.allows(&keys(&["a1", "b1"])).is_ok());
        assert!(scope.allows(&keys(&[])).is_ok());
        let refused = scope.allows(&keys(&["a1", "secret", "b"])).unwrap_err();
        assert!(refused.message().contains("number 1 of"), "{refused}");
        assert!(!refused.message().contains("secret"), "{refused}");
        let delete = pb::WriteOp {
            key: Bytes::from_static(b"c"),
            delete: true,
            ..Default::default()
        };
        let deletes = pb::BatchPutRequest {
            ops: vec![delete],
            ..Default::default()
        };
        assert!(scope.allows(&deletes).is_err());
    }

    #[test]
    fn a_scan_lies_within_one_prefix() {
        let scope = scope(&[], &["user:", "z"]);
        for (prefix, start, end) in [
            ("user:", "", ""),
            ("user:1", "", ""),
            ("", "user:", "user;"),
            ("", "user:5", "user:9"),
            ("u", "user:1", "user:2"),
            ("z", "", ""),
        ] {
            let asked = scan(prefix, start.as_bytes(), end.as_bytes());
            assert!(scope.allows(&asked).is_ok(), "{asked:?}");
        }
        for (prefix, start, end) in [
            ("", "", ""),
            ("user", "", ""),
            ("", "user:", ""),
            ("", "", "user:9"),
            ("", "user:1", "user;1"),
            ("", "user:1", "zz"),
            ("", "user9", "user:9"),
            ("users", "", ""),
        ] {
            let asked = scan(prefix, start.as_bytes(), end.as_bytes());
            assert!(scope.allows(&asked).is_err(), "{asked:?}");
        }
        assert!(scope.allows(&pb::WatchRequest::default()).is_err());
    }

    #[test]
    fn the_last_prefix_has_no_end() {
        let scope = Scope {
            keyspaces: Vec::new(),
            prefixes: vec![vec![0xff, 0xff]],
        };
        assert!(
            scope
                .allows(&scan("", &[0xff, 0xff, 1], &[0xff, 0xff, 9]))
                .is_ok()
        );
        assert!(scope.allows(&scan("", &[0xff, 0xff, 1], b"")).is_err());
        assert!(scope.allows(&scan("", &[0xff], &[0xff, 0xff, 9])).is_err());
    }

    #[test]
    fn a_refusal_names_what_the_token_is_for() {
        let many = ["p1", "p2", "p3", "p4", "p5", "p6", "p\n7"];
        let refused = scope(&[3], &many).allows(&get(3, "elsewhere")).unwrap_err();
        let said = refused.message();
        assert!(
            said.contains("in keyspace 3, that begin with \"p1\" or"),
            "{said}"
        );
        assert!(
            said.contains("or 2 more") && !said.contains("elsewhere"),
            "{said}"
        );
        let refused = scope(&[3], &[]).allows(&get(0, "k")).unwrap_err();
        assert!(refused.message().contains("keyspace 0 was asked for"));
    }
}
