//! The queue for the hashing threads. There are two classes with separate places, so neither can fill the other's. A
//! free thread takes the reserved class first. While both classes wait, the shared class gets every fourth turn.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::crypto::sha256;
use crate::id::UserId;

/// The number of places of the reserved class.
const RESERVED: usize = 64;
/// The number of places of the shared class: about as many as finish before a caller gives up.
const SHARED: usize = 128;
/// The maximum number of reserved places per claimant.
const OF_ONE: usize = 4;
/// The maximum number of reserved places per account, which may be known at many networks.
const OF_ACCOUNT: usize = 8;
/// The maximum number of reserved places per network.
const OF_NETWORK: usize = 16;
/// The maximum number of consecutive turns of the reserved class while the shared class waits.
const IN_A_ROW: u32 = 3;

/// The class in which a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A known caller: an account at a network that it has logged in from before, or a session. The caller falls back
    /// to the shared class if it, its account or its network already holds its share of the reserved places.
    Reserved(Claim),
    /// Any other caller.
    Shared,
}

/// The claimant of a reserved place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// A digest of the caller's identity.
    pub of: [u8; 32],
    /// A digest of the account.
    pub account: [u8; 32],
    /// The caller's network.
    pub network: Option<IpAddr>,
}

impl Claim {
    /// Returns the claim of a user's sessions, from any network.
    #[must_use]
    pub fn session_of(user: UserId) -> Self {
        let name = format!("session of {user}");
        let of = sha256(name.as_bytes());
        Self {
            of,
            account: of,
            network: None,
        }
    }

    fn holders(&self) -> impl Iterator<Item = (Holder, usize)> {
        let network = self.network.map(|at| (Holder::Network(at), OF_NETWORK));
        let own = [
            (Holder::One(self.of), OF_ONE),
            (Holder::Account(self.account), OF_ACCOUNT),
        ];
        own.into_iter().chain(network)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Holder {
    One([u8; 32]),
    Account([u8; 32]),
    Network(IpAddr),
}

#[derive(Debug, Default)]
struct ClassQueue {
    /// Places taken by callers that wait or have their turn.
    taken: usize,
    /// The waiting callers, in order of arrival.
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

#[derive(Debug)]
struct QueueState {
    free: usize,
    next: u64,
    reserved: ClassQueue,
    shared: ClassQueue,
    held: HashMap<Holder, usize>,
    /// Turns of the reserved class since the last turn of the shared class.
    in_a_row: u32,
}

/// The queue for a fixed number of threads.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    threads: usize,
}

/// A place in the queue. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct QueuePlace {
    queue: Arc<Queue>,
    claim: Option<Claim>,
    number: u64,
    called: oneshot::Receiver<()>,
    /// Whether a [`ThreadPermit`] now holds the thread.
    handed_over: bool,
}

/// The right to one thread. The permit moves with the work, so a caller that goes away does not free the thread early.
#[derive(Debug)]
pub(super) struct ThreadPermit(Arc<Queue>);

impl Queue {
    pub(super) fn new(threads: usize) -> Self {
        let state = QueueState {
            free: threads,
            next: 0,
            reserved: ClassQueue::default(),
            shared: ClassQueue::default(),
            held: HashMap::new(),
            in_a_row: 0,
        };
        Self {
            state: Mutex::new(state),
            threads,
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place. Returns `None` if there is no place left.
    pub(super) fn enter(self: &Arc<Self>, class: Class) -> Option<QueuePlace> {
        let mut state = self.state();
        let claim = match class {
            Class::Reserved(claim) if state.has_place_for(&claim) => Some(claim),
            Class::Reserved(_) | Class::Shared => None,
        };
        match claim {
            Some(claim) => {
                for (holder, _) in claim.holders() {
                    *state.held.entry(holder).or_default() += 1;
                }
            }
            None if state.shared.taken >= SHARED => return None,
            None => {}
        }
        let number = state.next;
        state.next += 1;
        let (call, called) = oneshot::channel();
        let line = state.line(claim.is_some());
        line.taken += 1;
        line.waiting.insert(number, call);
        state.call();
        Some(QueuePlace {
            queue: Arc::clone(self),
            claim,
            number,
            called,
            handed_over: false,
        })
    }

    /// Returns the numbers of busy threads and of waiting callers.
    pub(super) fn running_and_waiting(&self) -> (usize, usize) {
        let state = self.state();
        let waiting = state.reserved.waiting.len() + state.shared.waiting.len();
        (self.threads - state.free, waiting)
    }
}

impl QueueState {
    const fn line(&mut self, reserved: bool) -> &mut ClassQueue {
        if reserved {
            &mut self.reserved
        } else {
            &mut self.shared
        }
    }

    fn has_place_for(&self, claim: &Claim) -> bool {
        let held = |holder| self.held.get(&holder).copied().unwrap_or(0);
        self.reserved.taken < RESERVED && claim.holders().all(|(holder, most)| held(holder) < most)
    }

    /// Calls the next callers while threads are free.
    fn call(&mut self) {
        while self.free > 0 {
            let reserved_waits = !self.reserved.waiting.is_empty();
            let shared_waits = !self.shared.waiting.is_empty();
            let reserved = reserved_waits && !(shared_waits && self.in_a_row >= IN_A_ROW);
            let Some((_, call)) = self.line(reserved).waiting.pop_first() else {
                return;
            };
            self.in_a_row = if reserved && shared_waits {
                self.in_a_row + 1
            } else {
                0
            };
            self.free -= 1;
            // Every caller in the queue listens: a place leaves the queue before its receiver is dropped.
            let _ = call.send(());
        }
    }

    fn free(&mut self) {
        self.free += 1;
        self.call();
    }
}

impl QueuePlace {
    /// Waits for this place's turn. Returns `None` if the place has had its turn already.
    pub(super) async fn turn(&mut self) -> Option<ThreadPermit> {
        (&mut self.called).await.ok()?;
        self.handed_over = true;
        Some(ThreadPermit(Arc::clone(&self.queue)))
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        let line = state.line(self.claim.is_some());
        line.taken -= 1;
        let waited = line.waiting.remove(&self.number).is_some();
        for (holder, _) in self.claim.iter().flat_map(Claim::holders) {
            if let Some(held) = state.held.get_mut(&holder) {
                *held -= 1;
                if *held == 0 {
                    state.held.remove(&holder);
                }
            }
        }
        if !waited && !self.handed_over {
            state.free();
        }
    }
}

impl Drop for ThreadPermit {
    fn drop(&mut self) {
        self.0.state().free();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(of: u8, network: u8) -> Class {
        Class::Reserved(Claim {
            of: [of; 32],
            account: [of; 32],
            network: Some(IpAddr::from([192, 0, 2, network])),
        })
    }

    fn places(queue: &Arc<Queue>, classes: impl IntoIterator<Item = Class>) -> Vec<QueuePlace> {
        let places = classes.into_iter().map(|class| queue.enter(class));
        places.map(|place| place.expect("a place")).collect()
    }

    /// Gives each place its turn and returns the order: `r` for the reserved class, `s` for the shared one.
    fn order(mut waiting: Vec<QueuePlace>) -> String {
        let mut order = String::new();
        while !waiting.is_empty() {
            let called = waiting
                .iter_mut()
                .position(|place| place.called.try_recv().is_ok())
                .expect("one is called");
            let mut place = waiting.remove(called);
            place.handed_over = true;
            order.push(if place.claim.is_some() { 'r' } else { 's' });
            drop(ThreadPermit(Arc::clone(&place.queue)));
        }
        order
    }

    #[tokio::test]
    async fn the_reserved_class_goes_first_and_the_shared_one_gets_every_fourth_turn() {
        for (shared, reserved, expected) in [
            (3, 3, "rrrsss"),
            (3, 8, "rrrsrrrsrrs"),
            (5, 0, "sssss"),
            (0, 5, "rrrrr"),
        ] {
            let queue = Arc::new(Queue::new(1));
            let mut first = queue.enter(Class::Shared).unwrap();
            let turn = first.turn().await.unwrap();
            let mut waiting = places(&queue, (0..shared).map(|_| Class::Shared));
            waiting.extend(places(&queue, (0..reserved).map(|n| claim(n, n))));
            assert_eq!(queue.running_and_waiting(), (1, waiting.len()));
            drop(turn);
            assert_eq!(order(waiting), expected, "{shared} and {reserved}");
            assert_eq!(queue.running_and_waiting(), (0, 0));
        }
    }

    #[test]
    fn neither_class_fills_the_places_of_the_other() {
        let queue = Arc::new(Queue::new(1));
        let strangers = places(&queue, (0..SHARED).map(|_| Class::Shared));
        assert!(queue.enter(Class::Shared).is_none());
        let known = places(&queue, (0..RESERVED as u8).map(|n| claim(n, n)));
        assert!(queue.enter(claim(200, 200)).is_none(), "all are taken");
        drop(strangers);
        // A claimant without a reserved place takes a shared one.
        let late = queue.enter(claim(200, 200)).unwrap();
        assert_eq!(late.claim, None);
        drop((known, late));
        assert_eq!(queue.running_and_waiting(), (0, 0));
        assert!(queue.state().held.is_empty());
    }

    #[test]
    fn one_claimant_and_one_network_hold_so_many_reserved_places_and_no_more() {
        let reserved = |places: &[QueuePlace]| places.iter().filter(|p| p.claim.is_some()).count();
        let queue = Arc::new(Queue::new(1));
        let mut one = places(&queue, (0..10).map(|_| claim(1, 1)));
        assert_eq!(reserved(&one), OF_ONE);
        let neighbours = places(&queue, (2..40).map(|of| claim(of, 1)));
        assert_eq!(reserved(&neighbours), OF_NETWORK - OF_ONE);
        let elsewhere = places(&queue, [claim(1, 2), claim(50, 2)]);
        assert_eq!(reserved(&elsewhere), 1, "the first has its share already");
        let account = |network| {
            let Class::Reserved(claim) = claim(network, network) else {
                unreachable!()
            };
            Class::Reserved(Claim {
                account: [100; 32],
                ..claim
            })
        };
        let at_many_networks = places(&queue, (100..140).map(account));
        assert_eq!(reserved(&at_many_networks), OF_ACCOUNT);
        // A freed place can be taken again.
        one.remove(0);
        assert_eq!(reserved(&places(&queue, [claim(1, 1), claim(1, 1)])), 1);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_frees_its_place_and_not_the_thread_that_works_for_it() {
        let queue = Arc::new(Queue::new(1));
        let mut first = queue.enter(Class::Shared).unwrap();
        let work = first.turn().await.unwrap();
        let mut waiting = places(&queue, (0..3).map(|_| Class::Shared));
        drop(first);
        assert_eq!(queue.running_and_waiting(), (1, 3), "its work goes on");
        waiting.remove(1);
        assert_eq!(queue.running_and_waiting(), (1, 2));
        drop(work);
        assert_eq!(queue.running_and_waiting(), (1, 1), "the next is called");
        // A caller that goes away after its call and before its work passes its turn on.
        waiting.remove(0);
        assert_eq!(queue.running_and_waiting(), (1, 0));
        waiting.remove(0);
        assert_eq!(queue.running_and_waiting(), (0, 0));
        assert_eq!(queue.state().shared.taken, 0);
    }
}
