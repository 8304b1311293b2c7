//! Requests that were looked at, as Python sees them.

use pyo3::prelude::*;

use crate::serve;

/// A slow request, or one of a trace that is sampled.
#[pyclass(frozen, module = "aidb_node._native")]
pub struct Observed {
    observed: serve::Observed,
    shard: Option<u32>,
}

impl Observed {
    pub fn new(observed: serve::Observed, shard: Option<u32>) -> Self {
        Self { observed, shard }
    }
}

#[pymethods]
impl Observed {
    #[getter]
    fn method(&self) -> &'static str {
        self.observed.method.name()
    }

    /// OK, the name of an error code, CANCELLED or TRANSPORT.
    #[getter]
    fn code(&self) -> &'static str {
        self.observed.code.name().unwrap_or("TRANSPORT")
    }

    #[getter]
    fn began_unix_ns(&self) -> u64 {
        self.observed.began_unix_ns
    }

    #[getter]
    fn duration_ns(&self) -> u64 {
        self.observed.duration_ns
    }

    /// None: a router has none.
    #[getter]
    fn shard(&self) -> Option<u32> {
        self.shard
    }

    /// Of the request's id, as `seq`; 0 = it has none.
    #[getter]
    fn client(&self) -> u64 {
        self.observed.seen.client
    }

    #[getter]
    fn seq(&self) -> u64 {
        self.observed.seen.seq
    }

    /// 0 = the first.
    #[getter]
    fn attempt(&self) -> u32 {
        self.observed.seen.attempt
    }

    /// As it came; empty = there was none.
    #[getter]
    fn traceparent(&self) -> String {
        let trace = self.observed.seen.trace;
        trace.map(|trace| trace.to_string()).unwrap_or_default()
    }

    /// This program's own part of the trace, 16 hexadecimal digits; empty = it is not traced.
    #[getter]
    fn span_id(&self) -> String {
        let span = self.observed.seen.span;
        span.map(|span| format!("{:016x}", span.id))
            .unwrap_or_default()
    }

    /// Whether it was slow.
    #[getter]
    fn slow(&self) -> bool {
        self.observed.slow
    }
}
