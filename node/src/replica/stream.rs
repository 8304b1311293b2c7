//! How far a replica has followed its primary's stream, and how fresh that is. Pure: no I/O, no clock.
//!
//! C1, C4: records apply in the order of the chain. A gap, or an older epoch or term than followed, is an error that ends
//! the stream; never is anything skipped. The next stream resumes at `applied`, or flushes: generation + 1, which voids
//! all entries and all fills under way, and the floor at the LSN it begins with.

use std::fmt;

use aidb_client::pb;

use super::faults::Faults;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    pub epoch: u64,
    pub term: u64,
    /// Entries and fills of another generation count no longer.
    pub generation: u64,
    /// Fills read below it are refused (C2).
    pub floor: u64,
    /// Every record at or below it has been applied.
    pub applied: u64,
    pub live: bool,
    /// When the newest echoed ping was sent (C3); None = none yet since the flush.
    pub fresh_at_ns: Option<u64>,
}

/// Why a stream cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    OldEpoch {
        followed: u64,
        offered: u64,
    },
    OldTerm {
        followed: u64,
        offered: u64,
    },
    /// The primary resumes elsewhere than we stopped.
    Resume {
        applied: u64,
        offered: u64,
    },
    Gap {
        applied: u64,
        previous: u64,
    },
    /// An echo vouches for records that did not come.
    Echo {
        applied: u64,
        committed: u64,
    },
    /// Records or echoes before the welcome, or a second one.
    Order,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OldEpoch { followed, offered } => write!(
                f,
                "epoch {offered} is older than {followed}, followed before"
            ),
            Self::OldTerm { followed, offered } => write!(
                f,
                "term {offered} is older than {followed}, followed before"
            ),
            Self::Resume { applied, offered } => {
                write!(f, "resumed after LSN {offered}, but {applied} is applied")
            }
            Self::Gap { applied, previous } => write!(
                f,
                "a record continues LSN {previous}, but {applied} is applied"
            ),
            Self::Echo { applied, committed } => write!(
                f,
                "an echo at LSN {committed}, but only {applied} is applied"
            ),
            Self::Order => f.write_str("a stream begins with one welcome"),
        }
    }
}

impl Stream {
    /// The stream begins. True: what is cached stays; false: it was flushed.
    pub fn welcome(&mut self, welcome: &pb::Welcome, faults: Faults) -> Result<bool, Broken> {
        if self.live {
            return Err(Broken::Order);
        }
        if welcome.epoch < self.epoch {
            return Err(Broken::OldEpoch {
                followed: self.epoch,
                offered: welcome.epoch,
            });
        }
        if welcome.term < self.term {
            return Err(Broken::OldTerm {
                followed: self.term,
                offered: welcome.term,
            });
        }
        if welcome.resumed && (welcome.epoch, welcome.lsn) != (self.epoch, self.applied) {
            return Err(Broken::Resume {
                applied: self.applied,
                offered: welcome.lsn,
            });
        }
        let forced = faults.no_resync() || (faults.keep_epoch() && welcome.epoch > self.epoch);
        let keep = welcome.resumed || (forced && self.generation > 0);
        if !keep {
            self.generation += 1;
            self.floor = welcome.lsn;
            self.fresh_at_ns = None;
        }
        self.epoch = welcome.epoch;
        self.term = welcome.term;
        self.applied = welcome.lsn;
        self.live = true;
        Ok(keep)
    }

    /// The record that continues `previous` is the next one.
    pub fn expect(&self, previous: u64) -> Result<(), Broken> {
        if !self.live {
            return Err(Broken::Order);
        }
        if previous != self.applied {
            return Err(Broken::Gap {
                applied: self.applied,
                previous,
            });
        }
        Ok(())
    }

    /// An echo of the ping that was sent at `sent_ns`.
    pub fn echoed(&mut self, committed: u64, sent_ns: u64) -> Result<(), Broken> {
        if !self.live {
            return Err(Broken::Order);
        }
        if committed > self.applied {
            return Err(Broken::Echo {
                applied: self.applied,
                committed,
            });
        }
        self.fresh_at_ns = self.fresh_at_ns.max(Some(sent_ns));
        Ok(())
    }

    pub fn lost(&mut self) {
        self.live = false;
    }

    /// C3: how long ago everything then committed is known to have been applied. None = not known.
    pub fn staleness_ns(&self, now_ns: u64) -> Option<u64> {
        self.fresh_at_ns
            .map(|fresh_at| now_ns.saturating_sub(fresh_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: Faults = Faults {
        unguarded_fill: false,
        no_resync: false,
        keep_epoch: false,
    };

    fn welcome(epoch: u64, term: u64, lsn: u64, resumed: bool) -> pb::Welcome {
        pb::Welcome {
            epoch,
            term,
            lsn,
            resumed,
            ..Default::default()
        }
    }

    fn following(epoch: u64, lsn: u64) -> Stream {
        let mut stream = Stream::default();
        stream
            .welcome(&welcome(epoch, 3, lsn, false), SOUND)
            .unwrap();
        stream
    }

    #[test]
    fn a_resume_keeps_and_anything_else_flushes() {
        let mut stream = following(1, 10);
        stream.echoed(10, 5).unwrap();
        stream.lost();
        assert_eq!(stream.welcome(&welcome(1, 3, 10, true), SOUND), Ok(true));
        assert_eq!((stream.generation, stream.fresh_at_ns), (1, Some(5)));
        stream.lost();
        assert_eq!(stream.welcome(&welcome(1, 3, 30, false), SOUND), Ok(false));
        assert_eq!(
            (
                stream.generation,
                stream.floor,
                stream.applied,
                stream.fresh_at_ns
            ),
            (2, 30, 30, None)
        );
    }

    #[test]
    fn older_epochs_and_terms_are_not_followed() {
        let mut stream = following(5, 10);
        stream.lost();
        let old_epoch = stream.welcome(&welcome(4, 3, 10, false), SOUND);
        assert_eq!(
            old_epoch,
            Err(Broken::OldEpoch {
                followed: 5,
                offered: 4
            })
        );
        let old_term = stream.welcome(&welcome(5, 2, 10, true), SOUND);
        assert_eq!(
            old_term,
            Err(Broken::OldTerm {
                followed: 3,
                offered: 2
            })
        );
        assert!(!stream.live);
    }

    #[test]
    fn a_resume_elsewhere_a_gap_and_an_early_echo_end_the_stream() {
        let mut stream = following(1, 10);
        assert_eq!(
            stream.expect(11),
            Err(Broken::Gap {
                applied: 10,
                previous: 11
            })
        );
        assert_eq!(
            stream.expect(9),
            Err(Broken::Gap {
                applied: 10,
                previous: 9
            })
        );
        assert_eq!(
            stream.echoed(11, 1),
            Err(Broken::Echo {
                applied: 10,
                committed: 11
            })
        );
        assert_eq!(
            stream.welcome(&welcome(1, 3, 10, true), SOUND),
            Err(Broken::Order)
        );
        stream.lost();
        assert_eq!(stream.expect(10), Err(Broken::Order));
        assert_eq!(stream.echoed(10, 1), Err(Broken::Order));
        let elsewhere = stream.welcome(&welcome(1, 3, 9, true), SOUND);
        assert_eq!(
            elsewhere,
            Err(Broken::Resume {
                applied: 10,
                offered: 9
            })
        );
    }

    #[test]
    fn freshness_counts_from_the_sending_and_never_goes_back() {
        let mut stream = following(1, 10);
        assert_eq!(stream.staleness_ns(100), None);
        stream.echoed(10, 60).unwrap();
        stream.echoed(10, 40).unwrap();
        assert_eq!(stream.staleness_ns(100), Some(40));
    }
}
