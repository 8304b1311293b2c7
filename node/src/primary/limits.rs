//! Limits of keys, values and batches, each refused with its own code.

use aidb_client::error::error;
use aidb_client::pb::{self, ErrorCode};

use crate::serve::Limits;

pub fn check_key(limits: &Limits, key: &[u8]) -> Result<(), pb::Error> {
    if key.is_empty() {
        return Err(error(
            ErrorCode::KeyEmpty,
            "the key is empty: keys have at least one byte",
        ));
    }
    check_size(ErrorCode::KeyTooLarge, "key", key.len(), limits.key_bytes)
}

pub fn check_value(limits: &Limits, value: &[u8]) -> Result<(), pb::Error> {
    check_size(
        ErrorCode::ValueTooLarge,
        "value",
        value.len(),
        limits.value_bytes,
    )
}

/// `bytes`: of all keys and values together.
pub fn check_batch(limits: &Limits, items: usize, bytes: usize) -> Result<(), pb::Error> {
    if items > limits.batch_items {
        let most = limits.batch_items;
        let message = format!("the batch has {items} items, the limit is {most}: split it");
        return Err(error(ErrorCode::BatchTooLarge, message));
    }
    check_size(ErrorCode::BatchTooLarge, "batch", bytes, limits.batch_bytes)
}

fn check_size(code: ErrorCode, what: &str, bytes: usize, most: usize) -> Result<(), pb::Error> {
    if bytes <= most {
        return Ok(());
    }
    Err(error(
        code,
        format!("the {what} has {bytes} bytes, the limit is {most}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_code() {
        let limits = Limits {
            key_bytes: 3,
            value_bytes: 2,
            batch_bytes: 5,
            batch_items: 2,
            ..Limits::default()
        };
        let code = |checked: Result<(), pb::Error>| checked.err().map(|error| error.code());
        assert_eq!(code(check_key(&limits, b"")), Some(ErrorCode::KeyEmpty));
        assert_eq!(code(check_key(&limits, b"abc")), None);
        assert_eq!(
            code(check_key(&limits, b"abcd")),
            Some(ErrorCode::KeyTooLarge)
        );
        assert_eq!(
            code(check_value(&limits, b"abc")),
            Some(ErrorCode::ValueTooLarge)
        );
        assert_eq!(code(check_value(&limits, b"")), None);
        assert_eq!(
            code(check_batch(&limits, 1, 6)),
            Some(ErrorCode::BatchTooLarge)
        );
        assert_eq!(
            code(check_batch(&limits, 3, 0)),
            Some(ErrorCode::BatchTooLarge)
        );
        assert_eq!(code(check_batch(&limits, 2, 5)), None);
    }
}
