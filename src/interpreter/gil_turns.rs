//! Whose turn it is to run Python, among threads that share a GIL.
//!
//! Runs in daemons and in httpd children with embedded mode. Threads that all want the GIL make each other
//! slow: an application lets go of it at every query and every file, another thread takes it, and the first
//! waits in line again for each of these small steps. So requests take turns: a few are inside, the others
//! wait in the order in which they came.
//!
//! How many are inside is measured. Of the turns that others waited for, some are looked at: which part of
//! its time did the thread compute? If those inside mostly wait for something else, or do not wait at all,
//! more are let in from then on; if they wait for each other, fewer. And where the queue stands still, the
//! first is let in all the same, as a probe: if the GIL is free, those inside count no more, and if it is
//! withheld for long, more follow. A turn that lasts counts no more either. So no request waits for long for
//! another that waits itself.

mod order;

use crate::os;
use order::{Order, Waiter};
use parking_lot::Mutex;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The turns at one GIL.
#[derive(Default)]
pub struct GilTurns(Mutex<Order>);

thread_local! {
    static WAITER: RefCell<Option<Arc<Waiter>>> = const { RefCell::new(None) };
    /// It has a turn. In an httpd child one request may run inside another.
    static HAS_TURN: Cell<bool> = const { Cell::new(false) };
}

/// A thread's turn, until it is dropped.
pub struct GilTurn<'a> {
    /// None inside of another turn.
    turns: Option<(&'a GilTurns, u64)>,
    look: Option<Look>,
}

/// A turn that is looked at.
struct Look {
    is_probe: bool,
    since: Instant,
    /// What the thread had computed by then.
    computed: Duration,
}

impl GilTurns {
    /// Waits for the calling thread's turn. Called detached.
    pub fn take(&self) -> GilTurn<'_> {
        if HAS_TURN.replace(true) {
            return GilTurn { turns: None, look: None };
        }
        let entered = self.0.lock().enter(Instant::now());
        let (turn, look) = entered.map_or_else(|| self.wait(), |turn| (turn, None));
        GilTurn { turns: Some((self, turn)), look }
    }

    /// Stands in the queue until the thread is called.
    fn wait(&self) -> (u64, Option<Look>) {
        let waiter = own_waiter();
        let entered = self.0.lock().queue(&waiter, Instant::now());
        if let Some(turn) = entered {
            return (turn, None);
        }
        while !waiter.is_called() {
            match waiter.watches() {
                true => {
                    thread::park_timeout(order::STILL);
                    let called = self.0.lock().watch(&waiter, Instant::now());
                    wake(called);
                }
                false => thread::park(),
            }
        }
        let look = |is_probe| Look { is_probe, since: Instant::now(), computed: os::thread_time() };
        (waiter.turn(), waiter.looked_at().map(look))
    }
}

fn own_waiter() -> Arc<Waiter> {
    WAITER.with_borrow_mut(|waiter| {
        Arc::clone(waiter.get_or_insert_with(|| Arc::new(Waiter::new(thread::current()))))
    })
}

fn wake(called: Vec<Arc<Waiter>>) {
    for waiter in called {
        waiter.thread.unpark();
    }
}

impl GilTurn<'_> {
    /// The thread has the GIL now.
    pub fn has_gil(&self) {
        if let GilTurn { turns: Some((turns, turn)), look: Some(look) } = self
            && look.is_probe
        {
            let called = turns.0.lock().probed(*turn, look.since.elapsed(), Instant::now());
            wake(called);
        }
    }
}

impl Drop for GilTurn<'_> {
    fn drop(&mut self) {
        let Some((turns, turn)) = self.turns else { return };
        HAS_TURN.set(false);
        let share = self.look.as_ref().map(|look| {
            let computed = os::thread_time().saturating_sub(look.computed);
            computed.as_secs_f32() / look.since.elapsed().as_secs_f32().max(1e-6)
        });
        let called = turns.0.lock().leave(turn, share, Instant::now());
        wake(called);
    }
}
