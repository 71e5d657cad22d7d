//! One call of a WSGI application: the request's transaction, and how far its answer has got.
//!
//! Runs where applications run. `start_response` and `write` hold it, and an application may keep those
//! beyond the request.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use super::response::Response;
use crate::interpreter::transaction::Transaction;

pub struct Call {
    pub transaction: Arc<Transaction>,
    pub response: Mutex<Response>,
    /// The client took no more of the answer.
    pub disconnected: AtomicBool,
}

impl Call {
    pub fn new(transaction: Arc<Transaction>, head: bool) -> Arc<Call> {
        let response = Mutex::new(Response::new(head));
        Arc::new(Call { transaction, response, disconnected: AtomicBool::new(false) })
    }
}
