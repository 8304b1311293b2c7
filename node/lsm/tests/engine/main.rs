//! What the engine promises, one file per promise.

mod checkpoint;
mod conditions;
mod crash;
mod damage;
mod disk_full;
mod epoch;
mod gate;
mod group_commit;
mod io_faults;
mod model;
mod opening;
mod poison;
mod recycling;
mod snapshots;
mod support;
mod tail;
mod ttl;
