//! Scripts that a directive names for something beside the URLs of an alias: access control, dispatch, and
//! the handlers of `WSGIHandlerScript`.
//!
//! Made in the httpd parent (`actions`), and in its children for `.htaccess` files. In httpd children the hooks
//! find them in the settings of each request.

use std::sync::Arc;

use crate::config::group_name::GroupName;
use crate::config::process_group::Origin;

/// The function that answers the requests of `WSGIHandlerScript`.
pub const HANDLER_FUNCTION: &str = "handle_request";

/// A script, and where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptUse {
    pub directive: &'static str,
    pub script: String,
    /// None where the line leaves it to other directives.
    pub process_group: Option<GroupName>,
    pub application_group: Option<GroupName>,
    pub pass_authorization: Option<bool>,
    /// Its line is one of a `.htaccess` file.
    pub in_htaccess: bool,
    pub origin: Origin,
}

impl ScriptUse {
    /// The process group, if that is known: empty for embedded mode.
    pub fn fixed_group(&self) -> Option<&str> {
        self.process_group.as_ref().and_then(GroupName::fixed)
    }
}

/// `WSGIHandlerScript`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerScript {
    /// As `SetHandler`, `AddHandler` and the like name it.
    pub handler: String,
    pub script: Arc<ScriptUse>,
}

/// The handlers of an outer section and those of an inner one, which win.
pub fn merge(outer: &[HandlerScript], inner: &[HandlerScript]) -> Arc<[HandlerScript]> {
    let hidden = |row: &HandlerScript| inner.iter().any(|other| other.handler == row.handler);
    inner.iter().chain(outer.iter().filter(|row| !hidden(row))).cloned().collect()
}
