//! What the engine promises, one file per promise.

mod checkpoint;
mod conditions;
mod crash;
mod damage;
mod disk_full;
mod epoch;
mod excise;
mod file_kinds;
mod gate;
mod group_commit;
mod ingest;
mod io_faults;
mod kills;
mod model;
mod opening;
mod poison;
mod range_delete;
mod recycling;
mod repair;
mod snapshots;
mod statistics;
mod support;
mod tail;
mod torn_segments;
mod ttl;
