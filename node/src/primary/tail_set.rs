//! Who has to hold a record before a write of mode `replica` is acknowledged (D4, D5). No I/O; the clock is an argument.
//!
//! Whoever takes the shard over reads the tail set in the topology and may rely on any one of its members. So a write is
//! acknowledged only when everybody holds it who is in that document, or could be by the time it is read:
//!
//! **Required** is the set in this node's view and, as long as the view is of the version that a change was asked for at,
//! everybody in that change as well. If one of these sets is empty, a taker may find that nobody is in it, and only the
//! archive counts. The coordinator applies a change only at exactly that version, and every change raises it: so once
//! the view is newer it says whether the change was made, and a late request changes nothing.
//!
//! A follower is asked for as a member only when everything that was acknowledged without it is in the archive or held by
//! it, with the lock held throughout: from then on nothing is acknowledged without it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::durable::{Durable, Mode};
use crate::serve::View;

pub struct TailSet {
    durable: Arc<Durable>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    followers: BTreeMap<String, Follower>,
    /// Of the newest view seen; None: none was, that names the shard.
    version: Option<u64>,
    members: BTreeSet<String>,
    /// Everybody in a set that was asked for at this version, and whether one of these was empty.
    asked: BTreeSet<String>,
    asked_for_nobody: bool,
    streams: u64,
    /// The first LSN of this epoch.
    epoch_lsn: u64,
}

/// A replica that follows the log, or that is required and does not.
#[derive(Debug)]
struct Follower {
    /// Of its stream; 0 = it has none.
    stream: u64,
    lsn: u64,
    /// Since when it has no stream.
    away: Option<Instant>,
    /// Since when it has not reached an LSN that was synced then.
    behind: Option<(Instant, u64)>,
}

/// What is said of a follower. Times in ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub name: String,
    /// In the topology's set.
    pub member: bool,
    /// Writes wait for it.
    pub required: bool,
    pub connected: bool,
    pub lsn: u64,
    pub behind_ms: u64,
    pub away_ms: u64,
}

impl TailSet {
    pub fn new(durable: Arc<Durable>) -> Self {
        Self {
            durable,
            state: Mutex::default(),
        }
    }

    /// A new epoch begins, with `lsn`.
    pub fn begin(&self, lsn: u64) {
        self.state().epoch_lsn = lsn;
    }

    pub fn epoch_lsn(&self) -> u64 {
        self.state().epoch_lsn
    }

    /// A stream to `name` begins; what it holds reaches to `lsn`. The stream's number.
    pub fn connected(&self, name: &str, lsn: u64, view: &View, shard: u32) -> u64 {
        let mut state = self.state();
        state.streams += 1;
        let stream = state.streams;
        let follower = Follower {
            stream,
            lsn,
            away: None,
            behind: None,
        };
        state.followers.insert(name.into(), follower);
        state.see(view, shard);
        self.settle(&state);
        stream
    }

    pub fn disconnected(&self, name: &str, stream: u64, now: Instant) {
        if let Some(follower) = self.state().followers.get_mut(name)
            && follower.stream == stream
        {
            follower.stream = 0;
            follower.away = Some(now);
        }
    }

    /// `name` holds everything through `lsn`.
    pub fn confirmed(&self, name: &str, stream: u64, lsn: u64, view: &View, shard: u32) {
        let mut state = self.state();
        if let Some(follower) = state.followers.get_mut(name)
            && follower.stream == stream
            && follower.lsn < lsn
        {
            follower.lsn = lsn;
            state.see(view, shard);
            self.settle(&state);
        }
    }

    /// The view has changed.
    pub fn look(&self, view: &View, shard: u32) {
        let mut state = self.state();
        state.see(view, shard);
        self.settle(&state);
    }

    /// Before `members` are asked for as the tail set: the topology version to ask at, or why they may not be.
    pub fn ask(&self, members: &BTreeSet<String>) -> Result<u64, String> {
        let mut state = self.state();
        let version = state.version.ok_or("there is no topology yet")?;
        let required = state.required();
        // Under the lock nobody is acknowledged anything meanwhile that a newcomer does not hold.
        let promised = self.durable.mark(Mode::Replica).max(state.epoch_lsn);
        let archived = self.durable.mark(Mode::Archived);
        for name in members.difference(&required) {
            let lsn = match state.followers.get(name) {
                Some(follower) if follower.stream != 0 => follower.lsn,
                _ => return Err(format!("{name} does not follow this primary's log")),
            };
            if promised > lsn.max(archived) {
                return Err(format!(
                    "{name} holds the log through LSN {lsn}, and writes were acknowledged through {promised}"
                ));
            }
        }
        if required.difference(members).next().is_some() && archived < promised {
            return Err(format!(
                "the archive has the log through LSN {archived}, and members of the tail set may be needed for what follows, \
                 through {promised}"
            ));
        }
        state.asked.extend(members.iter().cloned());
        state.asked_for_nobody |= members.is_empty();
        self.settle(&state);
        Ok(version)
    }

    pub fn standings(&self, synced: u64, now: Instant) -> Vec<Standing> {
        let mut guard = self.state();
        let state = &mut *guard;
        let required = state.required();
        for name in &required {
            let away = || Follower {
                stream: 0,
                lsn: 0,
                away: Some(now),
                behind: None,
            };
            state.followers.entry(name.clone()).or_insert_with(away);
        }
        // Who neither follows nor is waited for is nobody's business.
        state
            .followers
            .retain(|name, follower| follower.stream != 0 || required.contains(name));
        let members = &state.members;
        let since = |at: Option<Instant>| {
            at.map_or(0, |at| now.saturating_duration_since(at).as_millis() as u64)
        };
        state
            .followers
            .iter_mut()
            .map(|(name, follower)| {
                follower.look(synced, now);
                Standing {
                    name: name.clone(),
                    member: members.contains(name),
                    required: required.contains(name),
                    connected: follower.stream != 0,
                    lsn: follower.lsn,
                    behind_ms: since(follower.behind.map(|(at, _)| at)),
                    away_ms: since(follower.away),
                }
            })
            .collect()
    }

    /// Raises the mark to what everybody required holds.
    fn settle(&self, state: &State) {
        if state.version.is_none() {
            return;
        }
        let required = state.required();
        let by_archive = state.members.is_empty() || state.asked_for_nobody;
        self.durable.by_archive(by_archive);
        if by_archive {
            return;
        }
        let lsn = |name: &String| state.followers.get(name).map_or(0, |follower| follower.lsn);
        if let Some(lsn) = required.iter().map(lsn).min() {
            self.durable.held(lsn);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A view that is not newer than one seen says nothing: what was asked for since may not be in it.
    fn see(&mut self, view: &View, shard: u32) {
        let Some(shard) = view.shard(shard) else {
            return;
        };
        if self.version.is_none_or(|seen| seen < view.version()) {
            self.version = Some(view.version());
            self.members = shard.tail_set.iter().cloned().collect();
            self.asked.clear();
            self.asked_for_nobody = false;
        }
    }

    fn required(&self) -> BTreeSet<String> {
        self.members.union(&self.asked).cloned().collect()
    }
}

impl Follower {
    fn look(&mut self, synced: u64, now: Instant) {
        self.behind = match self.behind {
            _ if self.lsn >= synced => None,
            Some((since, target)) if self.lsn < target => Some((since, target)),
            _ => Some((now, synced)),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aidb_client::pb;
    use tokio::sync::watch;

    use super::*;

    fn view(version: u64, tail_set: &[&str]) -> View {
        View::new(pb::ClusterView {
            topology: Some(pb::Topology {
                version,
                shards: vec![pb::Shard {
                    tail_set: tail_set.iter().map(ToString::to_string).collect(),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn set() -> (Arc<Durable>, TailSet) {
        let durable = Arc::new(Durable::new(10, watch::Sender::new(())));
        (Arc::clone(&durable), TailSet::new(durable))
    }

    #[test]
    fn a_write_is_held_when_every_member_has_it() {
        let (durable, set) = set();
        let view = view(1, &["a", "b"]);
        let a = set.connected("a", 0, &view, 0);
        set.confirmed("a", a, 9, &view, 0);
        assert_eq!(durable.mark(Mode::Replica), 0, "b has not been heard of");
        let b = set.connected("b", 5, &view, 0);
        assert_eq!(durable.mark(Mode::Replica), 5);
        set.confirmed("b", b + 1, 9, &view, 0);
        assert_eq!(durable.mark(Mode::Replica), 5, "of another stream");
        set.confirmed("b", b, 7, &view, 0);
        assert_eq!(durable.mark(Mode::Replica), 7);
        durable.archived(8);
        assert_eq!(durable.mark(Mode::Replica), 8);
    }

    #[test]
    fn with_an_empty_set_only_the_archive_counts() {
        let (durable, set) = set();
        let view = view(1, &[]);
        let a = set.connected("a", 0, &view, 0);
        set.confirmed("a", a, 9, &view, 0);
        assert_eq!(durable.mark(Mode::Replica), 0);
        durable.archived(4);
        assert_eq!(durable.mark(Mode::Replica), 4);
    }

    #[test]
    fn who_is_asked_for_is_required_until_the_document_says_otherwise() {
        let (durable, set) = set();
        let before = view(1, &["a"]);
        let a = set.connected("a", 0, &before, 0);
        set.confirmed("a", a, 3, &before, 0);
        let b = set.connected("b", 0, &before, 0);
        let refused = set.ask(&names(&["a", "b"])).unwrap_err();
        assert!(refused.contains("through 3"), "{refused}");
        set.confirmed("b", b, 3, &before, 0);
        assert_eq!(set.ask(&names(&["a", "b"])), Ok(1));
        set.confirmed("a", a, 9, &before, 0);
        assert_eq!(durable.mark(Mode::Replica), 3, "it may have been made");
        set.look(&view(0, &["a"]), 0);
        set.look(&before, 0);
        assert_eq!(durable.mark(Mode::Replica), 3, "these views are older");
        // It was not: somebody else changed the document.
        set.look(&view(2, &["a"]), 0);
        assert_eq!(durable.mark(Mode::Replica), 9);
    }

    #[test]
    fn while_the_set_may_be_empty_only_the_archive_counts() {
        let (durable, set) = set();
        let empty = view(1, &[]);
        let a = set.connected("a", 0, &empty, 0);
        assert_eq!(set.ask(&names(&["a"])), Ok(1));
        set.confirmed("a", a, 5, &empty, 0);
        assert_eq!(durable.mark(Mode::Replica), 0, "a may not be in it yet");
        set.look(&view(2, &["a"]), 0);
        assert_eq!(durable.mark(Mode::Replica), 5);
        durable.archived(5);
        assert_eq!(set.ask(&names(&[])), Ok(2));
        set.confirmed("a", a, 9, &view(2, &["a"]), 0);
        assert_eq!(
            durable.mark(Mode::Replica),
            5,
            "a may not be in it any more"
        );
        set.look(&view(3, &["a"]), 0);
        assert_eq!(durable.mark(Mode::Replica), 9);
    }

    #[test]
    fn nobody_leaves_before_the_archive_has_what_was_acknowledged() {
        let (durable, set) = set();
        let before = view(1, &["a"]);
        set.begin(2);
        let a = set.connected("a", 0, &before, 0);
        set.confirmed("a", a, 5, &before, 0);
        assert!(set.ask(&names(&[])).unwrap_err().contains("archive"));
        durable.archived(5);
        assert_eq!(set.ask(&names(&[])), Ok(1));
        let standing = &set.standings(5, Instant::now())[0];
        assert!(standing.required, "until the document says so");
        let after = view(2, &[]);
        set.look(&after, 0);
        let standing = &set.standings(5, Instant::now())[0];
        assert!(!standing.required && standing.connected);
    }

    #[test]
    fn silence_shows() {
        let (_, set) = set();
        let view = view(1, &["a", "b"]);
        let begin = Instant::now();
        let a = set.connected("a", 5, &view, 0);
        let silent = |synced, after| {
            let now = begin + Duration::from_millis(after);
            let standings = set.standings(synced, now);
            standings
                .iter()
                .map(|one| (one.behind_ms, one.away_ms))
                .collect::<Vec<_>>()
        };
        assert_eq!(silent(5, 0), [(0, 0), (0, 0)]);
        assert_eq!(silent(9, 100), [(0, 0), (100, 100)]);
        set.confirmed("a", a, 8, &view, 0);
        assert_eq!(silent(10, 300)[0], (200, 0));
        set.confirmed("a", a, 9, &view, 0);
        assert_eq!(silent(11, 400)[0], (0, 0), "it has moved on");
        set.disconnected("a", a, begin + Duration::from_millis(400));
        assert_eq!(silent(11, 600)[0], (200, 200));
    }
}
