//! One kind of operation, and its name on the command line.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Get,
    Put,
    /// Of so many keys. Redis gets them as that many commands written at once.
    BatchGet(u64),
    BatchPut(u64),
    /// The first so many entries at and after a key.
    Scan(u64),
}

impl Work {
    /// Keys of one operation.
    pub fn keys(self) -> u64 {
        match self {
            Self::Get | Self::Put => 1,
            Self::BatchGet(keys) | Self::BatchPut(keys) | Self::Scan(keys) => keys,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get => write!(f, "get"),
            Self::Put => write!(f, "put"),
            Self::BatchGet(keys) => write!(f, "batch-get:{keys}"),
            Self::BatchPut(keys) => write!(f, "batch-put:{keys}"),
            Self::Scan(keys) => write!(f, "scan:{keys}"),
        }
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("{text:?} is none of get, put, batch-get:N, batch-put:N, scan:N");
        let (name, keys) = match text.split_once(':') {
            Some((name, keys)) => {
                let keys = keys.parse().ok().filter(|keys| *keys > 0);
                (name, Some(keys.ok_or_else(unknown)?))
            }
            None => (text, None),
        };
        match (name, keys) {
            ("get", None) => Ok(Self::Get),
            ("put", None) => Ok(Self::Put),
            ("batch-get", Some(keys)) => Ok(Self::BatchGet(keys)),
            ("batch-put", Some(keys)) => Ok(Self::BatchPut(keys)),
            ("scan", Some(keys)) => Ok(Self::Scan(keys)),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for work in [
            Work::Get,
            Work::Put,
            Work::BatchGet(64),
            Work::BatchPut(100),
            Work::Scan(7),
        ] {
            assert_eq!(work.to_string().parse(), Ok(work));
        }
        for bad in ["", "get:1", "batch-get", "batch-put:0", "scan:x"] {
            assert!(bad.parse::<Work>().is_err(), "{bad}");
        }
    }
}
