//! Who is inside, who waits, and how many may be inside.
//!
//! Used by `gil_turns` under its lock: nothing here waits or wakes a thread. What changes the order returns
//! the waiters that are to be woken.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// One that has the GIL, and one that is ready when it lets go.
const FEWEST: usize = 2;

/// The queue stands still when no turn has ended for this long.
pub const STILL: Duration = Duration::from_millis(5);

/// The next turn is looked at after this.
const LOOKS: Duration = Duration::from_millis(1);

/// A probe found the GIL free if it took less than this.
const FREE: Duration = Duration::from_micros(50);

/// One that does not let go of the GIL loses it after CPython's switch interval, 5 ms.
const WITHHELD: Duration = Duration::from_millis(4);

/// Those inside keep the GIL busy if they compute for this share of the time, together.
const BUSY: f32 = 0.85;

/// One that computes for this share of its time waits for no other.
const ALONE: f32 = 0.9;

/// A turn that lasts for longer is one of a request that waits (for a client, an event, another server) or
/// that computes for long. It counts no more.
const LONG: Duration = Duration::from_millis(100);

/// The most by which the number of those allowed inside rises at a time.
const LARGEST_STEP: usize = 16;

/// A thread in the queue.
pub struct Waiter {
    pub thread: Thread,
    state: AtomicU8,
    /// Its turn, once it is called.
    turn: AtomicU64,
    /// Looks whether the queue stands still.
    watches: AtomicBool,
}

const WAITS: u8 = 0;
const CALLED: u8 = 1;
const CALLED_LOOKED_AT: u8 = 2;
const CALLED_AS_PROBE: u8 = 3;

impl Waiter {
    pub fn new(thread: Thread) -> Waiter {
        let (state, turn, watches) = (AtomicU8::new(WAITS), AtomicU64::new(0), AtomicBool::new(false));
        Waiter { thread, state, turn, watches }
    }

    pub fn is_called(&self) -> bool {
        self.state.load(Ordering::Acquire) != WAITS
    }

    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    pub fn watches(&self) -> bool {
        self.watches.load(Ordering::Relaxed)
    }

    /// Whether as a probe, if its turn is looked at.
    pub fn looked_at(&self) -> Option<bool> {
        match self.state.load(Ordering::Relaxed) {
            CALLED_LOOKED_AT => Some(false),
            CALLED_AS_PROBE => Some(true),
            _ => None,
        }
    }
}

pub struct Order {
    /// The turns that count, in the order in which they began.
    inside: VecDeque<(u64, Instant)>,
    last_turn: u64,
    allowed: usize,
    queue: VecDeque<Arc<Waiter>>,
    /// By how much `allowed` rises next.
    step: usize,
    /// The share that those inside compute, each, as seen lately.
    share: Option<f32>,
    /// When a turn ended last, or a probe went in.
    moved: Instant,
    looked: Instant,
}

impl Default for Order {
    fn default() -> Order {
        let now = Instant::now();
        let (inside, queue) = (VecDeque::new(), VecDeque::new());
        let (allowed, step, share) = (FEWEST, 1, None);
        Order { inside, last_turn: 0, allowed, queue, step, share, moved: now, looked: now }
    }
}

impl Order {
    /// The thread's turn, if there is room.
    pub fn enter(&mut self, now: Instant) -> Option<u64> {
        let enters = self.queue.is_empty() && self.has_room(now);
        enters.then(|| self.begin(now))
    }

    fn has_room(&mut self, now: Instant) -> bool {
        if self.inside.len() >= self.allowed {
            while self.inside.front().is_some_and(|(_, since)| now > *since + LONG) {
                self.inside.pop_front();
            }
        }
        self.inside.len() < self.allowed
    }

    fn begin(&mut self, now: Instant) -> u64 {
        self.last_turn += 1;
        self.inside.push_back((self.last_turn, now));
        self.last_turn
    }

    /// The thread's turn, if there is room now; else it is in the queue.
    pub fn queue(&mut self, waiter: &Arc<Waiter>, now: Instant) -> Option<u64> {
        let turn = self.enter(now);
        if turn.is_some() {
            return turn;
        }
        waiter.state.store(WAITS, Ordering::Relaxed);
        waiter.watches.store(self.queue.is_empty(), Ordering::Relaxed);
        if self.queue.is_empty() {
            self.moved = now;
        }
        self.queue.push_back(Arc::clone(waiter));
        None
    }

    /// The waiter that watches has waited for `STILL`. Returns those to wake, as the others do.
    pub fn watch(&mut self, waiter: &Waiter, now: Instant) -> Vec<Arc<Waiter>> {
        let mut called = self.call_all(now);
        if waiter.watches() && now >= self.moved + STILL {
            self.moved = now;
            self.call(CALLED_AS_PROBE, now, &mut called);
        }
        called
    }

    /// A probe has waited for the GIL for this long.
    pub fn probed(&mut self, turn: u64, took: Duration, now: Instant) -> Vec<Arc<Waiter>> {
        if took < FREE {
            // The others wait, for something else and for long.
            self.inside.retain(|(inside, _)| *inside == turn);
        }
        if took < FREE || took > WITHHELD {
            self.moved = now;
            self.allow_more();
        }
        self.call_all(now)
    }

    /// A turn ends, of which the thread has computed for this share, if it was looked at.
    pub fn leave(&mut self, turn: u64, share: Option<f32>, now: Instant) -> Vec<Arc<Waiter>> {
        if let Some(index) = self.inside.iter().position(|(inside, _)| *inside == turn) {
            share.iter().for_each(|share| self.learn(*share));
            self.inside.remove(index);
        }
        self.moved = now;
        self.call_all(now)
    }

    fn learn(&mut self, share: f32) {
        let before = self.share.unwrap_or(share);
        let lately = before + (share - before) / 4.0;
        self.share = Some(lately);
        if lately > ALONE || lately * (self.inside.len() as f32) < BUSY {
            self.allow_more();
        } else {
            self.allowed = (self.allowed - 1).max(FEWEST);
            self.step = 1;
        }
    }

    fn allow_more(&mut self) {
        if !self.queue.is_empty() {
            self.allowed = self.allowed.max(self.inside.len()) + self.step;
            self.step = (self.step * 2).min(LARGEST_STEP);
        }
    }

    /// Lets in as many as there is room for.
    fn call_all(&mut self, now: Instant) -> Vec<Arc<Waiter>> {
        let mut called = Vec::new();
        while !self.queue.is_empty() && self.has_room(now) {
            let looks = now >= self.looked + LOOKS;
            if looks {
                self.looked = now;
            }
            self.call(if looks { CALLED_LOOKED_AT } else { CALLED }, now, &mut called);
        }
        called
    }

    fn call(&mut self, state: u8, now: Instant, called: &mut Vec<Arc<Waiter>>) {
        let Some(waiter) = self.queue.pop_front() else { return };
        waiter.turn.store(self.begin(now), Ordering::Relaxed);
        if waiter.watches.swap(false, Ordering::Relaxed)
            // The last one will be here for the longest.
            && let Some(last) = self.queue.back()
        {
            last.watches.store(true, Ordering::Relaxed);
            called.push(Arc::clone(last));
        }
        waiter.state.store(state, Ordering::Release);
        called.push(waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::{FEWEST, LONG, Order, STILL, Waiter};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn waiter() -> Arc<Waiter> {
        Arc::new(Waiter::new(std::thread::current()))
    }

    /// As many inside as at first, and these behind them.
    fn full(queued: usize) -> (Order, Vec<Arc<Waiter>>) {
        let mut order = Order::default();
        assert!((0..FEWEST).all(|_| order.enter(Instant::now()).is_some()));
        let waiters: Vec<_> = (0..queued).map(|_| waiter()).collect();
        assert!(waiters.iter().all(|waiter| order.queue(waiter, Instant::now()).is_none()));
        (order, waiters)
    }

    fn called(waiters: &[Arc<Waiter>]) -> usize {
        waiters.iter().filter(|waiter| waiter.is_called()).count()
    }

    fn first_leaves(order: &mut Order, share: Option<f32>) -> Vec<Arc<Waiter>> {
        let (turn, _) = order.inside[0];
        order.leave(turn, share, Instant::now())
    }

    #[test]
    fn who_leaves_lets_the_first_in() {
        let (mut order, waiters) = full(3);
        assert_eq!(called(&waiters), 0);
        first_leaves(&mut order, None);
        assert!(waiters[0].is_called() && called(&waiters) == 1);
        assert!(order.enter(Instant::now()).is_none(), "passed those that wait");
    }

    #[test]
    fn one_of_those_that_wait_watches() {
        let (mut order, waiters) = full(3);
        assert!(waiters[0].watches());
        let woken = first_leaves(&mut order, None);
        assert!(waiters[2].watches() && woken.len() == 2, "the last in the queue is woken to watch");
    }

    #[test]
    fn more_are_let_in_where_those_inside_wait_for_something_else() {
        let (mut order, waiters) = full(40);
        for _ in 0..5 {
            first_leaves(&mut order, Some(0.05));
        }
        assert!(called(&waiters) > 15, "{}", called(&waiters));
    }

    #[test]
    fn more_are_let_in_where_those_inside_do_not_wait_for_each_other() {
        let (mut order, waiters) = full(9);
        first_leaves(&mut order, Some(0.99));
        assert_eq!(called(&waiters), 2);
    }

    #[test]
    fn fewer_are_let_in_where_those_inside_wait_for_each_other() {
        let (mut order, waiters) = full(40);
        first_leaves(&mut order, Some(0.05));
        first_leaves(&mut order, Some(0.05));
        let before = called(&waiters);
        for _ in 0..20 {
            first_leaves(&mut order, Some(0.5));
        }
        assert_eq!(order.allowed, FEWEST);
        assert!(called(&waiters) < before + 20);
    }

    #[test]
    fn one_is_let_in_where_nothing_moves() {
        let (mut order, waiters) = full(3);
        let now = Instant::now();
        order.watch(&waiters[0], now);
        assert_eq!(called(&waiters), 0, "too early");
        order.watch(&waiters[1], now + STILL * 2);
        assert_eq!(called(&waiters), 0, "not the one that watches");
        order.watch(&waiters[0], now + STILL * 2);
        assert_eq!(waiters[0].looked_at(), Some(true));
        assert_eq!(called(&waiters), 1);
    }

    #[test]
    fn a_probe_that_finds_the_gil_free_or_withheld_lets_others_in() {
        for (took, others) in [(Duration::ZERO, true), (STILL, true), (STILL / 5, false)] {
            let (mut order, waiters) = full(3);
            let later = Instant::now() + STILL * 2;
            order.watch(&waiters[0], later);
            order.probed(waiters[0].turn(), took, later);
            assert_eq!(waiters[1].is_called(), others, "{took:?}");
        }
    }

    #[test]
    fn those_that_stay_do_not_keep_others_in_the_queue() {
        let (mut order, waiters) = full(1);
        let later = Instant::now() + STILL * 2;
        order.watch(&waiters[0], later);
        order.probed(waiters[0].turn(), Duration::ZERO, later);
        order.leave(waiters[0].turn(), Some(0.5), later);
        assert!(order.enter(later).is_some(), "the two that stay count no more");
        let (mut order, _) = full(0);
        let begun = Instant::now();
        assert!(order.enter(begun).is_none());
        assert!(order.enter(begun + LONG * 2).is_some(), "their turns are long");
        let (stayed, _) = order.inside[0];
        order.leave(stayed, None, begun + LONG * 2);
        order.leave(1, None, begun + LONG * 2);
        assert!(order.inside.is_empty(), "one that has counted no more leaves");
    }
}
