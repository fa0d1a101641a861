//! A queue for work with bounded concurrency, in which short work goes before long work.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How many short tasks in a row go before a waiting long task gets its turn.
const SHORT_IN_A_ROW: usize = 8;

/// The class of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Short,
    Long,
}

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Gives out turns. Clones share their state.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Mutex<TurnState>>);

#[derive(Debug)]
struct TurnState {
    free: usize,
    may_wait: usize,
    short: VecDeque<oneshot::Sender<Turn>>,
    long: VecDeque<oneshot::Sender<Turn>>,
    short_in_a_row: usize,
}

impl TurnState {
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let is_longs = self.short_in_a_row >= SHORT_IN_A_ROW && !self.long.is_empty();
        let short = if is_longs {
            None
        } else {
            self.short.pop_front()
        };
        match short {
            Some(short) => {
                self.short_in_a_row += 1;
                Some(short)
            }
            None => {
                self.short_in_a_row = 0;
                self.long.pop_front()
            }
        }
    }

    fn waiting(&self) -> usize {
        self.short.len() + self.long.len()
    }

    fn forget_gone(&mut self) {
        self.short.retain(|waiting| !waiting.is_closed());
        self.long.retain(|waiting| !waiting.is_closed());
    }
}

impl Turns {
    /// Creates a queue of `at_a_time` concurrent turns and at most `may_wait` waiting tasks.
    pub(super) fn new(at_a_time: usize, may_wait: usize) -> Self {
        Self(Arc::new(Mutex::new(TurnState {
            free: at_a_time,
            may_wait,
            short: VecDeque::new(),
            long: VecDeque::new(),
            short_in_a_row: 0,
        })))
    }

    /// Waits for a turn.
    pub(super) async fn take(&self, length: Length) -> Result<Turn, Full> {
        let waiting = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Ok(self.turn());
            }
            if state.waiting() >= state.may_wait {
                state.forget_gone();
            }
            if state.waiting() >= state.may_wait {
                return Err(Full);
            }
            let (sender, waiting) = oneshot::channel();
            match length {
                Length::Short => state.short.push_back(sender),
                Length::Long => state.long.push_back(sender),
            }
            waiting
        };
        // `self` keeps the state alive, so the sender of a waiting task is not dropped unused.
        waiting.await.map_err(|_| Full)
    }

    /// Returns whether there is no active turn and no waiting task.
    pub(super) fn is_idle(&self, at_a_time: usize) -> bool {
        let state = self.state();
        state.free == at_a_time && state.waiting() == 0
    }

    fn turn(&self) -> Turn {
        Turn(Some(self.clone()))
    }

    fn state(&self) -> MutexGuard<'_, TurnState> {
        let Self(state) = self;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A turn, held until it is dropped. A turn that is sent to a task which has gone away passes to the next.
#[derive(Debug)]
pub(super) struct Turn(Option<Turns>);

impl Drop for Turn {
    fn drop(&mut self) {
        let Self(turns) = self;
        let Some(turns) = turns.take() else {
            return;
        };
        let mut state = turns.state();
        while let Some(waiting) = state.next() {
            match waiting.send(turns.turn()) {
                Ok(()) => return,
                // The lock is held, so the turn must not be dropped as one.
                Err(mut turn) => turn.0 = None,
            }
        }
        state.free += 1;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

    type Waiting<'a> = BoxFuture<'a, Result<Turn, Full>>;

    /// Returns the order in which these tasks get their turns if all of them wait.
    fn order(waiting: &[Length]) -> Vec<usize> {
        let turns = Turns::new(1, usize::MAX);
        let held = turns.take(Length::Long).now_or_never().unwrap().unwrap();
        let mut futures: Vec<Option<Waiting<'_>>> = waiting
            .iter()
            .map(|length| Some(turns.take(*length).boxed()))
            .collect();
        let poll = |futures: &mut Vec<Option<Waiting<'_>>>| {
            let ready = futures.iter_mut().enumerate().find_map(|(at, future)| {
                let turn = future.as_mut()?.now_or_never()?;
                Some((at, turn.unwrap()))
            });
            ready.inspect(|(at, _)| futures[*at] = None)
        };
        assert!(poll(&mut futures).is_none());
        drop(held);
        let mut order = Vec::new();
        while let Some((at, turn)) = poll(&mut futures) {
            order.push(at);
            drop(turn);
        }
        assert!(turns.is_idle(1));
        order
    }

    #[test]
    fn short_work_goes_before_long_work_which_still_gets_its_turn() {
        use Length::{Long, Short};
        assert_eq!(order(&[Long, Short, Long, Short]), [1, 3, 0, 2]);
        let mut many = vec![Long, Long];
        many.extend([Short; 10]);
        assert_eq!(order(&many), [2, 3, 4, 5, 6, 7, 8, 9, 0, 10, 11, 1]);
    }

    #[test]
    fn a_cancelled_caller_frees_its_turn_and_its_place() {
        let turns = Turns::new(1, 2);
        let take = || turns.take(Length::Short);
        let held = take().now_or_never().unwrap().unwrap();
        let (mut gone, mut stays) = (Box::pin(take()), Box::pin(take()));
        assert!(gone.as_mut().now_or_never().is_none());
        assert!(stays.as_mut().now_or_never().is_none());
        assert_eq!(take().now_or_never().unwrap().unwrap_err(), Full);
        drop(gone);
        let mut another = Box::pin(take());
        assert!(
            another.as_mut().now_or_never().is_none(),
            "there is a place again"
        );
        drop(held);
        // The task gets its turn and goes away before it notices.
        drop(stays);
        let turn = another.as_mut().now_or_never().unwrap().unwrap();
        assert!(!turns.is_idle(1));
        drop(turn);
        assert!(turns.is_idle(1));
    }
}
