//! Lending a value to Python objects, which may outlive it, and which any thread may use at any time.
//!
//! Used where applications run, for the two directions of a request (`interpreter::transaction`). The objects
//! hold a `Lent`, not the value. The value stays with its owner, who takes it back after waiting for the
//! thread that is using it.

#![allow(unsafe_code)]

use parking_lot::{Mutex, MutexGuard};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A type of values, for each lifetime that they may have.
pub trait Lendable {
    type Of<'v>: Send;
}

/// A value that is lent now, or not any more. One thread at a time uses it.
pub struct Lent<K: Lendable>(Mutex<Option<Address>>, PhantomData<fn(K)>);

/// Of the value on its owner's stack.
struct Address(NonNull<()>);

// SAFETY: the value is `Send` itself (`Lendable`), and is used under the lock only.
unsafe impl Send for Address {}

impl<K: Lendable> Lent<K> {
    /// There is nothing yet.
    pub fn new() -> Lent<K> {
        Lent(Mutex::new(None), PhantomData)
    }

    /// Lends a value while `work` runs.
    pub fn lend<R>(&self, mut value: K::Of<'_>, work: impl FnOnce() -> R) -> R {
        struct TakeBack<'l, K: Lendable>(&'l Lent<K>);
        impl<K: Lendable> Drop for TakeBack<'_, K> {
            fn drop(&mut self) {
                self.0.lock().take_back();
            }
        }
        *self.0.lock() = Some(Address(NonNull::from(&mut value).cast()));
        // Dropped before the value, by a panic too.
        let _take_back = TakeBack(self);
        work()
    }

    /// Waits for a thread that uses the value now.
    pub fn lock(&self) -> Turn<'_, K> {
        Turn(self.0.lock(), PhantomData)
    }

    /// None where another thread uses the value.
    pub fn try_lock(&self) -> Option<Turn<'_, K>> {
        self.0.try_lock().map(|address| Turn(address, PhantomData))
    }
}

/// This thread's turn to use the value.
pub struct Turn<'l, K: Lendable>(MutexGuard<'l, Option<Address>>, PhantomData<fn(K)>);

impl<K: Lendable> Turn<'_, K> {
    /// Uses the value, of which `work` may keep nothing: it does not learn its lifetime. None when it is not
    /// lent any more.
    pub fn with<R>(&mut self, work: impl for<'v> FnOnce(&mut K::Of<'v>) -> R) -> Option<R> {
        let Address(address) = self.0.as_ref()?;
        // SAFETY: `lend` keeps the value until it has taken the address away, for which it needs the lock
        // that is held here; `lend` made it from a value of this type.
        Some(work(unsafe { address.cast::<K::Of<'_>>().as_mut() }))
    }

    /// Takes the value away from all who hold the `Lent`.
    pub fn take_back(&mut self) {
        *self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    struct Texts;

    impl Lendable for Texts {
        type Of<'v> = &'v mut Vec<String>;
    }

    #[test]
    fn a_value_is_lent_for_the_length_of_the_work() {
        let (lent, mut texts) = (Lent::<Texts>::new(), vec!["word".to_string()]);
        let seen = lent.lend(&mut texts, || lent.lock().with(|texts| texts.len()));
        assert_eq!(seen, Some(1));
        assert_eq!(lent.lock().with(|texts| texts.len()), None);
        assert_eq!(texts, ["word"]);
    }

    #[test]
    fn the_owner_waits_for_the_thread_that_uses_its_value() {
        let lent = Arc::new(Lent::<Texts>::new());
        let mut texts = Vec::new();
        let user = lent.lend(&mut texts, || {
            let (begun, began) = std::sync::mpsc::channel();
            let other = Arc::clone(&lent);
            let user = std::thread::spawn(move || {
                other.lock().with(|texts| {
                    begun.send(()).unwrap();
                    std::thread::sleep(Duration::from_millis(50));
                    texts.push("late".to_string());
                })
            });
            began.recv().unwrap();
            assert!(lent.try_lock().is_none());
            user
        });
        assert_eq!(texts, ["late"]);
        assert_eq!(user.join().unwrap(), Some(()));
    }

    #[test]
    fn a_panic_takes_the_value_back() {
        let lent = Lent::<Texts>::new();
        let mut texts = Vec::new();
        let work = std::panic::AssertUnwindSafe(|| lent.lend(&mut texts, || panic!("of the test")));
        assert!(std::panic::catch_unwind(work).is_err());
        assert!(lent.lock().with(|_| ()).is_none());
    }
}
