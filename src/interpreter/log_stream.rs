//! Text streams that end in httpd's error log: `wsgi.errors`, `sys.stderr` and `sys.stdout`.
//!
//! Runs where applications run. A whole line is one record. What belongs to a request is logged with it;
//! what does not (imports, threads of the application) goes to a daemon's standard error, which the
//! supervisor logs for the group's virtual host, and in an httpd child to the main error log.

use super::process_log::write_process_output;
use super::transaction::{self, Transaction, take_whole_lines};
use crate::log::Level;
use crate::python::class::{Arguments, Class, Native, PyMethodDef, methods};
use crate::python::error::{Exc, raise};
use crate::python::object::Result;
use crate::python::{Attached, Object, Raised};
use parking_lot::Mutex;
use std::ffi::CStr;
use std::sync::Arc;

pub struct LogStream {
    level: Level,
    /// The request of `wsgi.errors`; None for the process's streams, which follow the thread.
    transaction: Option<Arc<Transaction>>,
    /// An unfinished line outside of any request.
    partial: Mutex<Vec<u8>>,
}

impl Native for LogStream {
    const NAME: &'static CStr = c"mod_wsgi.LogBase";
    const EXTENSIBLE: bool = true;

    fn methods() -> Vec<PyMethodDef> {
        methods!(LogStream {
            c"write" => write,
            c"writelines" => writelines,
            c"write_bytes" => write_bytes,
            c"log" => log,
            c"flush" => flush,
        })
    }
}

/// Defines the type; `log_class` of text_streams.py gives it what else code expects of a text stream.
pub fn define(py: Attached<'_>, log_class: &Object) -> Result<Class<LogStream>> {
    Class::define(py)?.derived(py, log_class)
}

impl LogStream {
    pub fn of_request(transaction: Arc<Transaction>) -> LogStream {
        LogStream { level: Level::Error, transaction: Some(transaction), partial: Mutex::default() }
    }

    pub fn of_process(level: Level) -> LogStream {
        LogStream { level, transaction: None, partial: Mutex::default() }
    }

    fn write(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 1, 1)?;
        let text = arguments.get(py, 0).ok_or(Raised)?;
        if !text.is_str(py) {
            let message = format!("write() argument must be str, not {}", text.class_name(py));
            return Err(raise(py, Exc::Type, &message));
        }
        self.append(py, text.to_text(py)?.as_bytes());
        Object::int(py, text.length(py)? as i64)
    }

    fn writelines(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 1, 1)?;
        let lines = arguments.get(py, 0).ok_or(Raised)?.iter(py)?;
        while let Some(line) = lines.next(py)? {
            self.append(py, line.to_text(py)?.as_bytes());
        }
        Ok(Object::none(py))
    }

    fn write_bytes(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 1, 1)?;
        self.append(py, arguments.get(py, 0).ok_or(Raised)?.as_bytes(py)?);
        Ok(Object::none(py))
    }

    /// For `mod_wsgi.LogHandler`: a record at a level of its own, by the level's number at httpd.
    fn log(&self, py: Attached<'_>, arguments: &Arguments<'_>) -> Result {
        arguments.expect(py, 2, 2)?;
        let number = arguments.get(py, 0).ok_or(Raised)?.to_i64(py)?;
        let text = arguments.get(py, 1).ok_or(Raised)?.display(py)?;
        let level = match number {
            ..=2 => Level::Critical,
            3 => Level::Error,
            4 => Level::Warning,
            5 => Level::Notice,
            6 => Level::Info,
            _ => Level::Debug,
        };
        let transaction = self.transaction.clone().or_else(transaction::current);
        match transaction.filter(|transaction| transaction.is_open(py)) {
            Some(transaction) => transaction.log_lines(py, level, text.as_bytes()),
            None => py.detached(|| write_process_output(level, format!("{text}\n").as_bytes())),
        }
        Ok(Object::none(py))
    }

    /// Lines go out when they are whole; an unfinished one waits for its end or the request's.
    fn flush(&self, py: Attached<'_>, _arguments: &Arguments<'_>) -> Result {
        Ok(Object::none(py))
    }

    fn append(&self, py: Attached<'_>, text: &[u8]) {
        let transaction = self.transaction.clone().or_else(transaction::current);
        if transaction.is_some_and(|transaction| transaction.log_text(py, self.level, text)) {
            return;
        }
        let lines = {
            let mut partial = self.partial.lock();
            partial.extend_from_slice(text);
            take_whole_lines(&mut partial)
        };
        if !lines.is_empty() {
            py.detached(|| write_process_output(self.level, &lines));
        }
    }
}
