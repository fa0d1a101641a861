//! Counts of repeated events. Events in succession form an episode, which is reported at its beginning and its end.
//! Pure: the time is an argument.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// An episode is over after this time without another event.
pub const QUIET: Duration = Duration::from_secs(60);

/// How often an episode that continues is reported.
pub const EVERY: Duration = Duration::from_secs(600);

/// How many details of one kind have an episode of their own. All others share one.
pub const DETAILS: usize = 4;

/// Identifies an episode by one of a few kinds, and by a detail, which a stranger may be able to vary.
#[derive(Debug, PartialEq, Eq, Hash)]
struct EpisodeKey<K> {
    kind: K,
    /// `None` for all details beyond the first few.
    detail: Option<u64>,
}

#[derive(Debug)]
struct Episode<T> {
    what: T,
    last: Duration,
    /// When the episode was last reported, and the number of events since.
    told: Duration,
    more: u64,
}

/// A report of an episode, after its first event.
#[derive(Debug, PartialEq, Eq)]
pub struct Told<T> {
    /// What was reported when the episode began.
    pub what: T,
    /// The number of events since the last report: at least one.
    pub more: u64,
    /// The time in which these events happened.
    pub within: Duration,
    /// Whether the episode is over.
    pub over: bool,
}

/// The episodes that are not over: at most `DETAILS + 1` for each kind.
#[derive(Debug)]
pub struct Episodes<K, T>(HashMap<EpisodeKey<K>, Episode<T>>);

impl<K, T> Default for Episodes<K, T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, T: Clone> Episodes<K, T> {
    /// Counts an event at `now`. Returns whether it begins an episode, which the caller reports at once.
    pub fn begins(
        &mut self,
        kind: K,
        detail: u64,
        now: Duration,
        what: impl FnOnce() -> T,
    ) -> bool {
        let Self(running) = self;
        let mut key = EpisodeKey {
            kind,
            detail: Some(detail),
        };
        if !running.contains_key(&key) {
            let told_apart = running.keys().filter(|known| known.kind == key.kind);
            let told_apart = told_apart.filter(|known| known.detail.is_some());
            if told_apart.count() >= DETAILS {
                key.detail = None;
            }
        }
        if let Some(episode) = running.get_mut(&key) {
            episode.last = now;
            episode.more += 1;
            return false;
        }
        let episode = Episode {
            what: what(),
            last: now,
            told: now,
            more: 0,
        };
        running.insert(key, episode);
        true
    }

    /// Returns the reports that are due at `now`: of episodes that are over, and of those that have continued for
    /// [`EVERY`]. A single event was reported when it happened.
    pub fn due(&mut self, now: Duration) -> Vec<Told<T>> {
        self.tell(now, QUIET)
    }

    /// Returns a report of everything that was not reported yet, because the program ends.
    pub fn all(&mut self, now: Duration) -> Vec<Told<T>> {
        self.tell(now, Duration::ZERO)
    }

    fn tell(&mut self, now: Duration, quiet: Duration) -> Vec<Told<T>> {
        let Self(running) = self;
        let mut told = Vec::new();
        running.retain(|_, episode| {
            let over = now.saturating_sub(episode.last) >= quiet;
            let long = now.saturating_sub(episode.told) >= EVERY;
            if (over || long) && episode.more > 0 {
                let until = if over { episode.last } else { now };
                told.push(Told {
                    what: episode.what.clone(),
                    more: episode.more,
                    within: until.saturating_sub(episode.told),
                    over,
                });
            }
            if long {
                (episode.told, episode.more) = (now, 0);
            }
            !over
        });
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn note(episodes: &mut Episodes<u8, &'static str>, detail: u64, at: u32) -> bool {
        episodes.begins(0, detail, at * SECOND, || "refused")
    }

    #[test]
    fn a_repeated_line_is_written_at_its_start_and_with_a_count_at_its_end() {
        let mut episodes = Episodes::default();
        assert!(note(&mut episodes, 0, 100));
        for n in 0..50 {
            assert!(!note(&mut episodes, 0, 100 + n));
        }
        assert_eq!(episodes.due(208 * SECOND), []);
        let told = Told {
            what: "refused",
            more: 50,
            within: 49 * SECOND,
            over: true,
        };
        assert_eq!(episodes.due(209 * SECOND), [told]);
        assert!(note(&mut episodes, 0, 210), "another episode");
        // A single event is not reported again.
        assert_eq!(episodes.due(300 * SECOND), []);
        assert!(note(&mut episodes, 0, 300));
    }

    #[test]
    fn a_continuing_line_is_written_periodically() {
        let mut episodes = Episodes::default();
        let mut lines = 0;
        for second in 0..3600 {
            lines += usize::from(note(&mut episodes, 0, second));
            for told in episodes.due(second * SECOND) {
                assert_eq!((told.more, told.over), (600, false));
                lines += 1;
            }
        }
        assert_eq!(lines, 6);
        let left = episodes.all(3600 * SECOND);
        assert_eq!(left.len(), 1);
        assert!(left[0].over && left[0].more == 599, "{left:?}");
        assert_eq!(episodes.all(3600 * SECOND), []);
    }

    #[test]
    fn different_fields_count_separately_up_to_a_bound() {
        let mut episodes = Episodes::default();
        let begun = (0..100_000).filter(|detail| note(&mut episodes, *detail, 1));
        assert_eq!(begun.count(), DETAILS + 1);
        assert!(episodes.begins(1, 0, SECOND, || "another kind"));
        let Episodes(running) = &episodes;
        assert_eq!(running.len(), DETAILS + 2);
        let told: u64 = episodes
            .due(100 * SECOND)
            .iter()
            .map(|told| told.more)
            .sum();
        assert_eq!(told as usize, 100_000 - (DETAILS + 1));
    }
}
