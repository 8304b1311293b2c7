//! Failures as exceptions of `aidb.errors`. `aidb_node.failure` makes them, so that the classes are defined once.

use aidb_client::error::reported;
use aidb_client::pb::{self, ErrorCode};
use aidb_lsm::{Entry, Error};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use tonic::{Code, Status};

use crate::serve::StartError;

/// An exception of the registry's `code`.
pub fn failure(code: ErrorCode, message: &str) -> PyErr {
    call("make", (code as i32, message))
}

pub fn of_request(error: &pb::Error) -> PyErr {
    failure(error.code(), &error.message)
}

pub fn condition_failed(current: Option<&Entry>) -> PyErr {
    let version = current.map_or(0, |entry| entry.version);
    let value = Python::attach(|py| current.map(|entry| PyBytes::new(py, &entry.value).unbind()));
    call("condition_failed", (version, value))
}

/// Of the embedded store.
pub fn of_engine(error: Error) -> PyErr {
    let message = error.to_string();
    let code = match error {
        Error::Locked { .. } => return call("open_refused", ("DirectoryLocked", message)),
        Error::NotAStore { .. } => return call("open_refused", ("NotAStore", message)),
        Error::NewerFormat { .. } => return call("open_refused", ("NewerFormat", message)),
        Error::Closed => return call("closed", (message,)),
        Error::Gap { asked, oldest } => return call("log_gap", (message, asked, oldest)),
        Error::DiskFull { .. } => ErrorCode::DiskFull,
        Error::Corruption { .. } => ErrorCode::Corruption,
        Error::Poisoned(_) => ErrorCode::Poisoned,
        Error::Busy => ErrorCode::Busy,
        Error::Stalled(_) => ErrorCode::Stalled,
        Error::TooLarge(_) => ErrorCode::BatchTooLarge,
        Error::Invalid(_) => ErrorCode::InvalidArgument,
        Error::Io { .. } => ErrorCode::Internal,
    };
    failure(code, &message)
}

/// Of a call to the coordinator. Without the server's own word it could not be reached.
pub fn of_status(status: &Status) -> PyErr {
    match reported(status) {
        Some(error) => of_request(&error),
        None if status.code() == Code::Unimplemented => failure(
            ErrorCode::Unsupported,
            &format!("this address serves no coordinator: {}", status.message()),
        ),
        None => failure(
            ErrorCode::ShardUnavailable,
            &format!("the coordinator does not answer: {}", status.message()),
        ),
    }
}

pub fn of_start(error: &StartError) -> PyErr {
    call("start_refused", (error.to_string(),))
}

/// Calls `function` of `aidb_node.failure`, which returns the exception to raise.
fn call(function: &str, arguments: impl for<'py> IntoPyObject<'py, Target = PyTuple>) -> PyErr {
    Python::attach(|py| {
        let made = (|| {
            let arguments = arguments.into_bound_py_any(py)?;
            let arguments = arguments.cast::<PyTuple>().map_err(PyErr::from)?;
            py.import("aidb_node.failure")?
                .getattr(function)?
                .call1(arguments)
        })();
        match made {
            Ok(exception) => PyErr::from_value(exception),
            Err(error) => error,
        }
    })
}
