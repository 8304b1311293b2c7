//! The level that a call needs: the option `access` of its method in the contracts.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::pb::Access;

const METHODS: &[(&str, i32)] = include!(concat!(env!("OUT_DIR"), "/access.rs"));

static BY_PATH: LazyLock<HashMap<&'static str, Access>> = LazyLock::new(|| {
    METHODS
        .iter()
        .map(|&(path, _)| (path, of_table(path)))
        .collect()
});

/// What a caller of `path` ("/package.Service/Method") has to be allowed; None: whoever could connect may. A method that
/// no table knows is for administrators.
pub fn required(path: &str) -> Option<Access> {
    if let Some(level) = BY_PATH.get(path) {
        return Some(*level);
    }
    if path.starts_with("/grpc.health.v1.Health/") {
        return None;
    }
    if path.starts_with("/grpc.reflection.") {
        return Some(Access::Monitor);
    }
    Some(Access::Admin)
}

/// What the role is called whose tokens contain a level.
pub fn name(level: Access) -> &'static str {
    match level {
        Access::Unspecified => "nobody",
        Access::Monitor => "monitor",
        Access::Read => "read-only",
        Access::Write => "read-write",
        Access::Admin => "admin",
        Access::Program => "programs",
    }
}

fn of_table(path: &str) -> Access {
    let level = METHODS.iter().find(|(known, _)| *known == path);
    match level.and_then(|(_, level)| Access::try_from(*level).ok()) {
        None | Some(Access::Unspecified) => Access::Admin,
        Some(level) => level,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_says_who_may_call_it() {
        assert!(METHODS.len() > 20, "{METHODS:?}");
        for (path, level) in METHODS {
            let level = Access::try_from(*level).unwrap();
            assert_ne!(level, Access::Unspecified, "{path} has no option (access)");
        }
    }

    #[test]
    fn what_is_not_known_is_for_administrators() {
        assert_eq!(required("/aidb.v1.Storage/Get"), Some(Access::Read));
        assert_eq!(required("/aidb.v1.Storage/Put"), Some(Access::Write));
        assert_eq!(
            required("/aidb.v1.Replication/Subscribe"),
            Some(Access::Program)
        );
        assert_eq!(required("/aidb.v1.Storage/get"), Some(Access::Admin));
        assert_eq!(required("/grpc.health.v1.Health/Check"), None);
    }
}
