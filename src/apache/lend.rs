//! Lending a request to code that may outlive it.
//!
//! Runs in httpd children, for embedded mode. An application that runs in this process may keep its
//! `wsgi.input` and read it from a thread of its own at any time. The application holds a key, not the
//! request. When the handler ends it takes the request back, after waiting for the thread that is using it.

#![allow(unsafe_code)]

use super::request::Request;
use parking_lot::Mutex;
use std::sync::Arc;

/// Something made of a request, for as long as its handler runs. One thread at a time uses it.
pub struct Lent<T>(Arc<Mutex<Option<Held<T>>>>);

struct Held<T>(T);

// SAFETY: httpd lets any thread use a request's record and its filters, as long as no two do at the same
// time; the lock around it sees to that.
unsafe impl<T> Send for Held<T> {}

impl<T> Clone for Lent<T> {
    fn clone(&self) -> Self {
        Lent(Arc::clone(&self.0))
    }
}

impl<T> Lent<T> {
    /// Uses it, after waiting for a thread that uses it now. None when the request is over.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.lock().as_mut().map(|held| work(&mut held.0))
    }

    /// Uses it if no other thread does. None too when the request is over.
    pub fn try_with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.try_lock()?.as_mut().map(|held| work(&mut held.0))
    }

    /// Takes it away from all who hold a key.
    fn take(&self) -> Option<T> {
        self.0.lock().take().map(|held| held.0)
    }
}

/// Lends what `make` makes of the request to `work`, and gives it to `conclude` when that is done. `make`
/// must put the reference nowhere but into its result.
pub fn lend<T, W, R>(
    request: &Request<'_>,
    make: impl FnOnce(&'static Request<'static>) -> T,
    work: impl FnOnce(Lent<T>) -> W,
    conclude: impl FnOnce(T, W) -> R,
) -> R {
    struct TakeBack<T>(Lent<T>);
    impl<T> Drop for TakeBack<T> {
        fn drop(&mut self) {
            drop(self.0.take());
        }
    }
    // SAFETY: the reference lives in what `make` makes, which is taken back and used up, or dropped, before
    // this function returns, by a panic too.
    let request = unsafe { std::mem::transmute::<&Request<'_>, &'static Request<'static>>(request) };
    let lent = Lent(Arc::new(Mutex::new(Some(Held(make(request))))));
    let back = TakeBack(lent.clone());
    let worked = work(lent);
    let value = back.0.take().expect("only this function takes it");
    conclude(value, worked)
}
