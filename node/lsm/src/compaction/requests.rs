use parking_lot::Mutex;

use crate::error::Result;

/// Compactions of everything that callers asked for, each done after all before it.
#[derive(Default)]
pub(crate) struct Requests(Mutex<State>);

#[derive(Default)]
struct State {
    asked: u64,
    /// The last one done, and how it ended.
    done: u64,
    outcome: Option<Result<()>>,
}

impl Requests {
    pub(crate) fn ask(&self) -> u64 {
        let mut state = self.0.lock();
        state.asked += 1;
        state.asked
    }

    pub(crate) fn asked(&self) -> Option<u64> {
        let state = self.0.lock();
        (state.asked > state.done).then_some(state.asked)
    }

    pub(crate) fn finish(&self, request: u64, outcome: Result<()>) {
        let mut state = self.0.lock();
        state.done = request;
        state.outcome = Some(outcome);
    }

    /// How the compaction that covers `request` ended, once it has.
    pub(crate) fn outcome(&self, request: u64) -> Option<Result<()>> {
        let state = self.0.lock();
        state.outcome.clone().filter(|_| state.done >= request)
    }
}
