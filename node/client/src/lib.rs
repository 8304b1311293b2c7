//! Contracts and routing client of AiDb.

pub mod pb;
