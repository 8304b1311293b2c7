//! What is compared: each case is a stream to a server, the processes whose CPU time it costs, and what it is held against.

use aidb_client::pb::ServedBy;

use crate::keys::Keys;
use crate::load::Stream;
use crate::target::Wire;
use crate::work::Work;

/// What a case is held to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    None,
    /// Times the CPU time of the case it is compared with.
    Times(f64),
    /// µs of CPU time for each key.
    Micros(f64),
    /// At most this part of the CPU time of the case it is compared with, said as a multiple of its work.
    Fold(f64),
}

#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    /// The case whose CPU time of the same round it is divided by.
    pub against: Option<String>,
    pub limit: Limit,
    pub stream: Stream,
    /// Whose CPU time counts.
    pub pids: Vec<u32>,
}

/// A server and the processes that work for it.
#[derive(Clone, Debug)]
pub struct Server {
    pub name: &'static str,
    pub address: String,
    pub pids: Vec<u32>,
    /// Who should answer single reads.
    pub reader: Option<ServedBy>,
}

impl Server {
    pub fn case(&self, wire: Wire, work: Work, keys: &Keys) -> Case {
        let how = if wire == Wire::Pipeline {
            " (pipeline)"
        } else {
            ""
        };
        let reads = matches!(work, Work::Get | Work::BatchGet(_));
        let stream = Stream {
            expected: self.reader.filter(|_| reads),
            ..Stream::closed(wire, &self.address, work, keys)
        };
        Case {
            name: format!("{} {work}{how}", self.name),
            against: None,
            limit: Limit::None,
            stream,
            pids: self.pids.clone(),
        }
    }
}

impl Case {
    pub fn against(mut self, other: &Case, limit: Limit) -> Self {
        self.against = Some(other.name.clone());
        self.limit = limit;
        self
    }

    /// One operation at a time on each of so many connections.
    pub fn one_by_one(mut self, connections: usize) -> Self {
        self.stream.connections = connections;
        self.stream.in_flight = connections;
        self
    }

    pub fn in_flight(mut self, in_flight: usize) -> Self {
        self.stream.in_flight = in_flight;
        self
    }
}

/// The servers of a comparison.
pub struct Servers {
    pub echo: Server,
    pub interval: Server,
    pub group: Server,
    pub hit: Server,
    pub forward: Server,
    pub router: Server,
    pub redis: Option<Server>,
    pub etcd: Option<Server>,
}

const GET: Work = Work::Get;
const PUT: Work = Work::Put;
const BATCH_GET: Work = Work::BatchGet(64);
const BATCH_PUT: Work = Work::BatchPut(100);
const SCAN: Work = Work::Scan(1000);
/// Redis: commands written at once, and operations at a time of a pipeline beside it.
const DEPTH: u64 = 16;

/// All cases, each after the one it is compared with.
pub fn cases(servers: &Servers, keys: &Keys, etcd_keys: &Keys) -> Vec<Case> {
    let Servers {
        echo,
        interval,
        group,
        hit,
        forward,
        router,
        redis,
        etcd,
    } = servers;
    let few = |case: Case| case.in_flight(16);
    let mut cases = Vec::new();
    for (wire, work, times, micros) in [
        (Wire::Unary, GET, 1.2, None),
        (Wire::Unary, PUT, 1.6, None),
        (Wire::Unary, BATCH_GET, 0.0, Some(2.0)),
        (Wire::Unary, BATCH_PUT, 0.0, Some(4.0)),
        (Wire::Pipeline, GET, 0.0, Some(2.0)),
        (Wire::Pipeline, PUT, 0.0, Some(2.0)),
        (Wire::Pipeline, BATCH_GET, 0.0, Some(2.0)),
        (Wire::Pipeline, BATCH_PUT, 0.0, Some(4.0)),
        (Wire::Unary, SCAN, 0.0, None),
    ] {
        let many_keys = work.keys() > 1;
        let sized = |case: Case| if many_keys { few(case) } else { case };
        let base = sized(echo.case(wire, work, keys));
        let limit = match micros {
            Some(micros) => Limit::Micros(micros),
            None if times > 0.0 => Limit::Times(times),
            None => Limit::None,
        };
        let mut ours = vec![sized(interval.case(wire, work, keys)).against(&base, limit)];
        if wire == Wire::Unary && work == GET {
            ours.push(hit.case(wire, work, keys).against(&base, Limit::Times(1.2)));
            ours.push(
                forward
                    .case(wire, work, keys)
                    .against(&base, Limit::Times(2.8)),
            );
            ours.push(router.case(wire, work, keys).against(&base, Limit::None));
        }
        if work == PUT || work == BATCH_PUT {
            ours.push(sized(group.case(wire, work, keys)).against(&base, Limit::None));
        }
        if work == BATCH_GET || (wire == Wire::Pipeline && work == GET) {
            ours.push(sized(hit.case(wire, work, keys)).against(&base, Limit::None));
        }
        cases.push(base);
        cases.extend(ours);
    }
    if let Some(redis) = redis {
        for (ours, work, deep) in [
            (GET, GET, Work::BatchGet(DEPTH)),
            (PUT, PUT, Work::BatchPut(DEPTH)),
        ] {
            let single = redis.case(Wire::Redis, work, keys).one_by_one(64);
            let deep = redis.case(Wire::Redis, deep, keys).one_by_one(8);
            let pipelined = interval
                .case(Wire::Pipeline, ours, keys)
                .in_flight(8 * DEPTH as usize);
            let named = |case: Case, how: &str| Case {
                name: format!("{} beside redis{how}", case.name),
                ..case
            };
            let unary = interval.case(Wire::Unary, ours, keys).in_flight(64);
            cases.extend([
                single.clone(),
                named(unary, "").against(&single, Limit::None),
                deep.clone(),
                named(pipelined, &format!(" at depth {DEPTH}")).against(&deep, Limit::None),
            ]);
        }
    }
    if let Some(etcd) = etcd {
        for work in [GET, PUT] {
            let theirs = etcd.case(Wire::Etcd, work, etcd_keys);
            cases.push(theirs.clone());
            for wire in [Wire::Unary, Wire::Pipeline] {
                let ours = group.case(wire, work, etcd_keys);
                let named = Case {
                    name: format!("{} beside etcd", ours.name),
                    ..ours
                };
                cases.push(named.against(&theirs, Limit::Fold(10.0)));
            }
        }
    }
    cases
}
