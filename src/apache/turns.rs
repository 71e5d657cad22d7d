//! Something made of a request that several threads use in turn.
//!
//! Runs in httpd children, for embedded mode: an application that runs in this process may read its
//! `wsgi.input` and write to the client from threads of its own.

#![allow(unsafe_code)]

use super::request::RequestRec;
use parking_lot::Mutex;

/// One thread at a time uses the value.
pub struct Turns<T>(Mutex<OfRequest<T>>);

struct OfRequest<T>(T);

// SAFETY: httpd lets any thread use a request's record and its filters, as long as no two do at the same
// time; the lock sees to that. Whatever else is in the value has come with closures that are `Send`.
unsafe impl<T> Send for OfRequest<T> {}

impl<T> Turns<T> {
    /// Makes the value. The caller leaves the request alone until it has the value back.
    pub fn new<'a, 'r>(
        request: &'a RequestRec<'r>,
        make: impl FnOnce(&'a RequestRec<'r>) -> T + Send,
    ) -> Turns<T> {
        Turns(Mutex::new(OfRequest(make(request))))
    }

    /// Uses the value, after waiting for a thread that uses it now.
    pub fn with<R: Send>(&self, work: impl FnOnce(&mut T) -> R + Send) -> R {
        work(&mut self.0.lock().0)
    }

    /// Uses the value if no other thread does.
    pub fn try_with<R: Send>(&self, work: impl FnOnce(&mut T) -> R + Send) -> Option<R> {
        Some(work(&mut self.0.try_lock()?.0))
    }

    pub fn into_inner(self) -> T {
        self.0.into_inner().0
    }
}
