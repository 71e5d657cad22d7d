//! The life of a configuration and the processes that belong to it, as httpd sees them.
//!
//! Runs in the httpd parent, and in its children and the supervisor where they begin.

#![allow(unsafe_code)]

use super::table::{api, bytes, keep};
use crate::os;
use crate::sys::httpd::*;
use std::ffi::CStr;
use std::mem;
use std::os::raw::{c_int, c_void};

/// How long something of httpd lives: the configuration that it has just read, until a restart or the end;
/// or a child process.
pub struct Lifetime(*mut apr_pool_t);

impl Lifetime {
    pub(super) fn new(pool: *mut apr_pool_t) -> Lifetime {
        Lifetime(pool)
    }

    /// Runs `work` when it is over.
    pub fn at_end(&self, work: impl FnOnce() + 'static) {
        struct AtEnd<F: FnOnce()>(Option<F>);
        impl<F: FnOnce()> Drop for AtEnd<F> {
            fn drop(&mut self) {
                if let Some(work) = self.0.take() {
                    work();
                }
            }
        }
        keep(self.0, AtEnd(Some(work)));
    }
}

/// What httpd calls about a watched process.
struct Watched {
    process: *mut apr_proc_t,
    pid: i32,
    lost: fn(i32),
}

/// Has httpd watch a process that it forked: `lost` runs in the parent when the process has ended.
pub fn watch(pid: i32, lost: fn(i32)) {
    let null = std::ptr::null_mut();
    let process = Box::into_raw(Box::new(apr_proc_t { pid, in_: null, out: null, err: null }));
    let watched = Box::into_raw(Box::new(Watched { process, pid, lost })).cast::<c_void>();
    let pool = process_pool();
    // SAFETY: both records live until `maintain` takes them back; it has the signature APR calls.
    unsafe { api().apr_proc_other_child_register(process, Some(maintain), watched, null.cast(), pool) };
}

unsafe extern "C" fn maintain(reason: c_int, data: *mut c_void, _status: c_int) {
    if reason != APR_OC_REASON_DEATH as c_int && reason != APR_OC_REASON_LOST as c_int {
        return;
    }
    // SAFETY: APR found the record by this data and lets it be taken out during the call.
    unsafe { api().apr_proc_other_child_unregister(data) };
    // SAFETY: `watch` made the box, and it is registered no longer.
    let watched = unsafe { Box::from_raw(data.cast::<Watched>()) };
    // SAFETY: as above; APR read it through its own record, which is gone.
    drop(unsafe { Box::from_raw(watched.process) });
    // The panic's message is in the log; the parent goes on.
    let _ = std::panic::catch_unwind(|| (watched.lost)(watched.pid));
}

const RETAINED: &CStr = c"mod_wsgi_rs-retained";

/// Bytes for the next configuration. httpd unloads and loads the module between the two, and may
/// load another build of it then, so they are in plain memory of the process.
pub fn retain(bytes: &[u8]) {
    let size = mem::size_of::<usize>() + bytes.len();
    // SAFETY: any size may be asked for.
    let memory = unsafe { libc::malloc(size) }.cast::<u8>();
    if memory.is_null() {
        return;
    }
    let length = bytes.len().to_ne_bytes();
    // SAFETY: the memory has room for the length and the bytes, and overlaps neither.
    unsafe { std::ptr::copy_nonoverlapping(length.as_ptr(), memory, length.len()) };
    // SAFETY: as above.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.add(length.len()), bytes.len()) };
    // SAFETY: the key lives for ever, the pool as long as httpd; nothing is to be done at its end.
    unsafe { api().apr_pool_userdata_set(memory.cast(), RETAINED.as_ptr(), None, process_pool()) };
}

/// What `retain` kept; empty at the first start.
pub fn take_retained() -> Vec<u8> {
    let mut memory: *mut c_void = std::ptr::null_mut();
    // SAFETY: writes the pointer that `retain` stored, or NULL.
    unsafe { api().apr_pool_userdata_get(&mut memory, RETAINED.as_ptr(), process_pool()) };
    if memory.is_null() {
        return Vec::new();
    }
    // SAFETY: `retain` wrote a length first; malloc's memory is aligned for it.
    let length = unsafe { *memory.cast::<usize>() };
    let start = memory.cast::<u8>().wrapping_add(mem::size_of::<usize>());
    // SAFETY: so many bytes follow it.
    let bytes = unsafe { std::slice::from_raw_parts(start, length) }.to_vec();
    // SAFETY: the entry is forgotten, so no other code finds the memory.
    unsafe { api().apr_pool_userdata_set(std::ptr::null(), RETAINED.as_ptr(), None, process_pool()) };
    // SAFETY: it came from malloc.
    unsafe { libc::free(memory) };
    bytes
}

/// The pool that lives as long as httpd.
fn process_pool() -> *mut apr_pool_t {
    // SAFETY: the main server's process record lives as long as httpd.
    unsafe { (*(*super::server::main_server().as_ptr()).process).pool }
}

/// Closes the copies of httpd's listening sockets in a process that was forked and does not serve.
pub fn close_listeners() {
    // SAFETY: the list of listeners is this process's own copy.
    unsafe { api().ap_close_listeners() }
}

/// Whether httpd is ending, and not only restarting.
pub fn is_ending() -> bool {
    state() == AP_SQ_MS_EXITING as c_int
}

/// Whether this is the first of the two readings of the configuration at a start, or the only one of configtest.
pub fn reads_for_the_first_time() -> bool {
    state() == AP_SQ_MS_CREATE_PRE_CONFIG as c_int
}

fn state() -> c_int {
    // SAFETY: only asks for httpd's state.
    unsafe { api().ap_state_query(AP_SQ_MAIN_STATE as c_int) }
}

/// Sets a variable of the environment of this child, which has one thread yet.
pub fn set_environment(name: &str, value: &str) {
    // SAFETY: `child_init` calls this before httpd starts the child's threads.
    unsafe { std::env::set_var(name, value) };
}

/// Waits for a process that `fork` made, at most so long; true when it has ended.
pub fn wait_for_end(pid: i32, most: std::time::Duration) -> bool {
    let deadline = std::time::Instant::now() + most;
    loop {
        let ended = os::has_ended(pid);
        if ended || std::time::Instant::now() > deadline {
            return ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Has the parent, which sleeps a second between two looks at its children, wake up as soon as one ends. So
/// the children that a graceful restart ends are replaced at once, and no client waits for a second. The
/// handler does nothing; it stays where it is in memory when httpd loads its modules anew, since the library
/// is never unloaded.
pub fn wake_when_children_end() {
    // SAFETY: a sigaction of zeros is valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: only asks, and the structure outlives the call.
    unsafe { libc::sigaction(libc::SIGCHLD, std::ptr::null(), &mut action) };
    // Another module that has set one has a reason.
    if action.sa_sigaction == libc::SIG_DFL {
        action.sa_sigaction = wake as extern "C" fn(c_int) as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_NOCLDSTOP;
        // SAFETY: the handler does nothing at all.
        unsafe { libc::sigaction(libc::SIGCHLD, &action, std::ptr::null_mut()) };
    }
}

extern "C" fn wake(_signal: c_int) {}

/// In a child, whose application's own processes are none of our business.
pub fn leave_ends_of_children() {
    os::default_signal(libc::SIGCHLD);
}

/// The file this library was loaded from, under the name that httpd gave the loader.
pub fn module_path() -> std::path::PathBuf {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: a Dl_info of zeros is valid for dladdr to fill.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: any address may be asked for; this one is in our own library.
    let found = unsafe { libc::dladdr(module_path as *const c_void, &mut info) };
    let name = bytes(&info, info.dli_fname).filter(|_| found != 0);
    std::ffi::OsStr::from_bytes(name.unwrap_or_default()).into()
}

/// Has the kernel end this httpd child when the parent was killed. Otherwise no process could stop the child,
/// it would hold the ports, and the threaded MPMs' children do not end on SIGTERM.
pub fn end_with_parent() {
    // Without it the child only lives on.
    let _ = os::die_with_parent(libc::SIGKILL);
}
