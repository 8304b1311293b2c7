//! Deliberate defects, for the evidence that the tests of coherence would notice them. Not in a normal build: without the
//! feature `faults` all questions are constants.

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    #[cfg(any(test, feature = "faults"))]
    pub unguarded_fill: bool,
    #[cfg(any(test, feature = "faults"))]
    pub no_resync: bool,
    #[cfg(any(test, feature = "faults"))]
    pub keep_epoch: bool,
}

impl Faults {
    /// `AIDB_FAULT=unguarded-fill|no-resync|keep-epoch`.
    pub fn from_env() -> Self {
        #[cfg(feature = "faults")]
        {
            let fault = std::env::var("AIDB_FAULT").unwrap_or_default();
            Self {
                unguarded_fill: fault == "unguarded-fill",
                no_resync: fault == "no-resync",
                keep_epoch: fault == "keep-epoch",
            }
        }
        #[cfg(not(feature = "faults"))]
        Self::default()
    }

    /// Fills are cached whatever was invalidated meanwhile (against C2).
    pub const fn unguarded_fill(self) -> bool {
        #[cfg(any(test, feature = "faults"))]
        return self.unguarded_fill;
        #[cfg(not(any(test, feature = "faults")))]
        false
    }

    /// A broken stream goes on at the present, with neither resume nor flush (against C4).
    pub const fn no_resync(self) -> bool {
        #[cfg(any(test, feature = "faults"))]
        return self.no_resync;
        #[cfg(not(any(test, feature = "faults")))]
        false
    }

    /// What is cached stays when another epoch begins (against C4).
    pub const fn keep_epoch(self) -> bool {
        #[cfg(any(test, feature = "faults"))]
        return self.keep_epoch;
        #[cfg(not(any(test, feature = "faults")))]
        false
    }
}
