//! Settings that may differ from one directory, location or `.htaccess` file to the next.
//!
//! There is one `Settings` for each section of the configuration. httpd merges those that apply to a request
//! from the outside in (`merge`). The handler, in an httpd child, reads the result through the accessors,
//! which know the defaults. The options of a `WSGIScriptAlias` are `Settings` too: the last layer.

use std::sync::Arc;

use crate::config::group_name::GroupName;
use crate::config::network::Network;
use crate::config::proxy_headers::ProxyHeader;
use crate::config::script_use::{self, HandlerScript, ScriptUse};

/// `WSGIMapHEADToGET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapHead {
    Off,
    On,
    /// GET when a filter wants to see the body.
    Auto,
}

/// `WSGIChunkedRequest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunked {
    /// 411.
    Off,
    /// Passed on as they come.
    On,
    /// Gathered first.
    Buffered,
}

/// None: not said here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub process_group: Option<GroupName>,
    pub application_group: Option<GroupName>,
    pub callable_object: Option<GroupName>,
    /// Process groups that may be used here; empty string for embedded mode.
    pub restrict_process: Option<Arc<[String]>>,
    pub pass_authorization: Option<bool>,
    pub script_reloading: Option<bool>,
    pub error_override: Option<bool>,
    pub chunked_request: Option<Chunked>,
    pub buffered_request: Option<u64>,
    pub map_head_to_get: Option<MapHead>,
    pub enable_sendfile: Option<bool>,
    /// The same, but On only where no `.htaccess` file says so.
    pub takes_files: Option<bool>,
    pub ignore_activity: Option<bool>,
    pub pass_apache_request: Option<bool>,
    pub proxy_headers: Option<Arc<[ProxyHeader]>>,
    pub proxies: Option<Arc<[Network]>>,
    pub access_script: Option<Arc<ScriptUse>>,
    pub auth_user_script: Option<Arc<ScriptUse>>,
    pub auth_group_script: Option<Arc<ScriptUse>>,
    pub dispatch_script: Option<Arc<ScriptUse>>,
    /// The innermost first.
    pub handler_scripts: Option<Arc<[HandlerScript]>>,
    /// What they should be is not known: a panic has come between. No request may be served by them.
    pub broken: bool,
}

impl Settings {
    /// `add` is the inner section and wins.
    pub fn merge(base: &Settings, add: &Settings) -> Settings {
        #[cfg(feature = "fault-injection")]
        if add.callable_object == Some(GroupName::parse("fault_injection_merge")) {
            panic!("asked for by WSGICallableObject");
        }
        fn inner<T: Clone>(base: &Option<T>, add: &Option<T>) -> Option<T> {
            add.as_ref().or(base.as_ref()).cloned()
        }
        Settings {
            process_group: inner(&base.process_group, &add.process_group),
            application_group: inner(&base.application_group, &add.application_group),
            callable_object: inner(&base.callable_object, &add.callable_object),
            restrict_process: inner(&base.restrict_process, &add.restrict_process),
            pass_authorization: add.pass_authorization.or(base.pass_authorization),
            script_reloading: add.script_reloading.or(base.script_reloading),
            error_override: add.error_override.or(base.error_override),
            chunked_request: add.chunked_request.or(base.chunked_request),
            buffered_request: add.buffered_request.or(base.buffered_request),
            map_head_to_get: add.map_head_to_get.or(base.map_head_to_get),
            enable_sendfile: add.enable_sendfile.or(base.enable_sendfile),
            takes_files: add.takes_files.or(base.takes_files),
            ignore_activity: add.ignore_activity.or(base.ignore_activity),
            pass_apache_request: add.pass_apache_request.or(base.pass_apache_request),
            proxy_headers: inner(&base.proxy_headers, &add.proxy_headers),
            proxies: inner(&base.proxies, &add.proxies),
            access_script: inner(&base.access_script, &add.access_script),
            auth_user_script: inner(&base.auth_user_script, &add.auth_user_script),
            auth_group_script: inner(&base.auth_group_script, &add.auth_group_script),
            dispatch_script: inner(&base.dispatch_script, &add.dispatch_script),
            handler_scripts: match (&base.handler_scripts, &add.handler_scripts) {
                (Some(outer), Some(inner)) => Some(script_use::merge(outer, inner)),
                (outer, inner) => inner.as_ref().or(outer.as_ref()).cloned(),
            },
            broken: base.broken || add.broken,
        }
    }

    pub fn process_group(&self) -> &GroupName {
        self.process_group.as_ref().unwrap_or(&GroupName::Global)
    }

    pub fn pass_authorization(&self) -> bool {
        self.pass_authorization.unwrap_or(false)
    }

    pub fn script_reloading(&self) -> bool {
        self.script_reloading.unwrap_or(true)
    }

    pub fn error_override(&self) -> bool {
        self.error_override.unwrap_or(false)
    }

    pub fn chunked_request(&self) -> Chunked {
        self.chunked_request.unwrap_or(Chunked::Off)
    }

    /// The largest body that is gathered before a process is looked for.
    pub fn buffered_request(&self) -> u64 {
        self.buffered_request.unwrap_or(0)
    }

    pub fn map_head_to_get(&self) -> MapHead {
        self.map_head_to_get.unwrap_or(MapHead::Auto)
    }

    pub fn enable_sendfile(&self) -> bool {
        self.enable_sendfile.unwrap_or(false)
    }

    /// Whether a child of httpd takes descriptors of files from the site's processes.
    pub fn takes_files(&self) -> bool {
        self.takes_files.unwrap_or(false)
    }

    pub fn ignore_activity(&self) -> bool {
        self.ignore_activity.unwrap_or(false)
    }

    pub fn pass_apache_request(&self) -> bool {
        self.pass_apache_request.unwrap_or(false)
    }

    /// The script of `WSGIHandlerScript` for this handler.
    pub fn handler_script(&self, handler: &[u8]) -> Option<&ScriptUse> {
        let rows = self.handler_scripts.as_deref().unwrap_or_default();
        let row = rows.iter().find(|row| row.handler.as_bytes() == handler);
        row.map(|row| &*row.script)
    }

    /// Whether `WSGIRestrictProcess` lets requests use the group (`""` for embedded mode).
    pub fn allows_process_group(&self, name: &str) -> bool {
        match &self.restrict_process {
            Some(allowed) => allowed.iter().any(|entry| entry == name),
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults() {
        let settings = Settings::default();
        assert_eq!(settings.process_group(), &GroupName::Global);
        assert!(settings.script_reloading() && !settings.pass_authorization());
        assert!(!settings.error_override());
        assert_eq!((settings.chunked_request(), settings.buffered_request()), (Chunked::Off, 0));
        assert_eq!((settings.enable_sendfile, settings.ignore_activity), (None, None));
        assert_eq!(settings.map_head_to_get(), MapHead::Auto);
        assert!(settings.allows_process_group("") && settings.allows_process_group("blog"));
    }

    #[test]
    fn the_inner_section_wins_and_the_rest_is_inherited() {
        let outer = Settings {
            process_group: Some(GroupName::parse("blog")),
            script_reloading: Some(false),
            restrict_process: Some(Arc::new(["blog".to_string()])),
            ..Settings::default()
        };
        let inner =
            Settings { script_reloading: Some(true), pass_authorization: Some(true), ..Settings::default() };
        let merged = Settings::merge(&outer, &inner);
        assert_eq!(merged.process_group(), &GroupName::parse("blog"));
        assert!(merged.script_reloading() && merged.pass_authorization());
        assert!(merged.allows_process_group("blog") && !merged.allows_process_group(""));
        assert_eq!(Settings::merge(&merged, &Settings::default()), merged);
    }
}
