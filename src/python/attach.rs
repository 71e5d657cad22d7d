//! Being attached to an interpreter (holding its GIL where it has one), and threads' states.
//!
//! Used by daemons' workers, by embedded mode and by everything that runs Python code. `PyGILState_*` is not
//! used: it knows only the main interpreter. A thread keeps one state per interpreter.

#![allow(unsafe_code)]

use super::beyond;
use super::not_send::not_send;
use super::table::api;
use crate::sys::python::{PyInterpreterState, PyThreadState};
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

thread_local! {
    /// Whether this thread is attached by way of a `ThreadState`.
    static ATTACHED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in the middle of Python code: asked where a signal may have interrupted it.
pub fn is_attached() -> bool {
    ATTACHED.get()
}

static KEPT: AtomicBool = AtomicBool::new(false);

/// The process ends: from now on threads leave their states as they are, since Python may be busy with
/// others.
pub fn keep_states() {
    KEPT.store(true, Ordering::Relaxed);
}

/// Proof that the current thread is attached to an interpreter. It is not `Send`, and so stays out of what
/// runs detached, attached to another interpreter, or on another thread.
///
/// ```compile_fail,E0277
/// fn names_an_interpreter(py: mod_wsgi_rs::Attached<'_>) {
///     py.detached(|| py.interpreter());
/// }
/// ```
///
/// ```
/// fn adds(py: mod_wsgi_rs::Attached<'_>, one: u32) -> u32 {
///     py.detached(|| one + 1)
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Attached<'py>(PhantomData<(&'py (), *mut ())>);

not_send!(Attached<'_>);
not_send!(&Attached<'_>);

impl<'py> Attached<'py> {
    /// For the trampolines: CPython called us, so the thread is attached.
    pub(super) fn assume() -> Attached<'py> {
        Attached(PhantomData)
    }

    /// Runs `work` detached, so that other threads can run Python meanwhile. `Send` keeps tokens and Python
    /// objects out of it.
    pub fn detached<R>(self, work: impl FnOnce() -> R + Send) -> R {
        self.let_go(|_| work())
    }

    /// The same, for work that attaches the thread again meanwhile, to the interpreter it is attached to now:
    /// CPython allows a thread one state there.
    pub fn detached_with_state<R>(self, work: impl FnOnce(&ThreadState) -> R + Send) -> R {
        self.let_go(|state| work(&ManuallyDrop::new(ThreadState(state))))
    }

    fn let_go<R>(self, work: impl FnOnce(*mut PyThreadState) -> R) -> R {
        struct Reattach(*mut PyThreadState, bool);
        impl Drop for Reattach {
            fn drop(&mut self) {
                // SAFETY: the state is the one this thread was attached with a moment ago.
                unsafe { api().PyEval_RestoreThread(self.0) }
                ATTACHED.set(self.1);
            }
        }
        let known = ATTACHED.replace(false);
        // SAFETY: `self` proves that this thread is attached.
        let state = unsafe { api().PyEval_SaveThread() };
        let _reattach = Reattach(state, known);
        work(state)
    }

    /// The interpreter this thread is attached to.
    pub fn interpreter(self) -> InterpreterState {
        // SAFETY: `self` proves that this thread is attached.
        InterpreterState(unsafe { api().PyInterpreterState_Get() })
    }

    /// Makes a new interpreter in this process, where Python can with a GIL of its own, prepares it with
    /// `work`, and comes back to the interpreter that was current. None when Python could not make one.
    /// `Send` keeps each interpreter's objects to itself.
    pub fn new_interpreter<R: Send>(
        self,
        own_gil: bool,
        work: impl FnOnce(Attached<'_>) -> R + Send,
    ) -> Option<R> {
        // SAFETY: attached, so there is a current state.
        let current = unsafe { api().PyThreadState_Get() };
        let own = match own_gil {
            // SAFETY: attached, as the token says.
            true => unsafe { beyond::new_interpreter_with_own_gil() },
            false => std::ptr::null_mut(),
        };
        let created = if own.is_null() {
            // SAFETY: attached. The state it makes stays with this thread and is never cleared: it
            // lives as long as the interpreter, which ends with the process.
            unsafe { api().Py_NewInterpreter() }
        } else {
            own
        };
        if created.is_null() {
            return None;
        }
        let result = work(Attached::assume());
        // SAFETY: attached to the new interpreter, whose GIL may be another than the current one's.
        unsafe { api().PyEval_SaveThread() };
        // SAFETY: `current` belongs to this thread and was left when the interpreter was made.
        unsafe { api().PyEval_RestoreThread(current) };
        Some(result)
    }
}

/// The calling thread, as Python numbers it: in an `unsigned long`, which is shorter on some machines.
#[allow(clippy::useless_conversion)]
pub fn thread_ident(_py: Attached<'_>) -> u64 {
    // SAFETY: asks the system only.
    u64::from(unsafe { api().PyThread_get_thread_ident() })
}

/// Forgets an exception that the thread has not raised yet.
pub fn take_back_exception(_py: Attached<'_>, ident: u64) {
    // SAFETY: attached; NULL stands for no exception.
    unsafe { api().PyThreadState_SetAsyncExc(ident, std::ptr::null_mut()) };
}

/// An interpreter of this process; lives until the process ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InterpreterState(*mut PyInterpreterState);

// SAFETY: the pointer is only handed back to CPython, which allows it from any thread.
unsafe impl Send for InterpreterState {}
// SAFETY: as above.
unsafe impl Sync for InterpreterState {}

static FORKS: AtomicU32 = AtomicU32::new(0);

/// Has `forks` count. Called once, before the application's code runs.
pub fn count_forks() {
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the function does nothing but count, which is allowed in a child of a threaded process.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

/// How many forks lie between this process and the one that `count_forks` was called in.
pub fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// This process, though it was forked, is no copy that an application made.
pub fn forget_forks() {
    FORKS.store(0, Ordering::Relaxed);
}

/// Runs code of the application's. A process that it has forked, and that comes back from it, ends here: what
/// follows is the original's.
pub fn in_this_process<R>(work: impl FnOnce() -> R) -> R {
    let before = forks();
    let result = work();
    if forks() != before {
        leave_forked_process();
    }
    result
}

/// The end of a forked process that came back from the application instead of ending in it.
pub fn leave_forked_process() -> ! {
    // SAFETY: ends this process only, without running what belongs to the one it was forked from.
    unsafe { libc::_exit(0) }
}

/// This thread's state in one interpreter.
pub struct ThreadState(*mut PyThreadState);

impl ThreadState {
    pub fn new(interpreter: InterpreterState) -> ThreadState {
        // SAFETY: the interpreter is alive (see above); no attachment is needed to make a state.
        ThreadState(unsafe { api().PyThreadState_New(interpreter.0) })
    }

    /// Runs `work` attached. The thread must not be attached already. `Send` keeps Python objects from
    /// leaving with the result.
    pub fn attached<R: Send>(&self, work: impl FnOnce(Attached<'_>) -> R + Send) -> R {
        let _detach = self.attach();
        work(Attached::assume())
    }

    /// Attaches the thread until the value is dropped.
    fn attach(&self) -> impl Drop {
        struct Detach;
        impl Drop for Detach {
            fn drop(&mut self) {
                ATTACHED.set(false);
                // SAFETY: the thread was attached below, and what ran since has come back attached.
                unsafe { api().PyEval_SaveThread() };
            }
        }
        // SAFETY: the state was made for this thread and is not current anywhere.
        unsafe { api().PyEval_RestoreThread(self.0) };
        ATTACHED.set(true);
        Detach
    }
}

impl Drop for ThreadState {
    fn drop(&mut self) {
        if KEPT.load(Ordering::Relaxed) {
            return;
        }
        let attached = self.attach();
        // SAFETY: clearing needs the state current, deleting needs it not current; the thread that
        // owns it does both here, once.
        unsafe { api().PyThreadState_Clear(self.0) };
        drop(attached);
        // SAFETY: as above.
        unsafe { api().PyThreadState_Delete(self.0) };
    }
}
