//! libpython inside another program: loading it, and running its `main` on a thread of its own.
//!
//! Used in httpd children, by `embedded`. Python is started as its own executable starts itself, with
//! `Py_BytesMain` and a command line; so it finds its home, its virtual environment and its options in the
//! same way as in a daemon, and no structure of its configuration need be known here.

#![allow(unsafe_code)]

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use parking_lot::Mutex;
use std::ffi::{CString, c_char};
use std::io;
use std::path::Path;
use std::{mem, ptr, thread};

/// `Py_BytesMain` (part of the stable ABI since 3.8).
type Main = unsafe extern "C" fn(argc: i32, argv: *mut *mut c_char) -> i32;

/// Whether this process holds a Python that another module has loaded.
pub fn is_occupied() -> bool {
    // SAFETY: only an address is looked up; nothing is called.
    unsafe { Library::this().get::<*const ()>(b"Py_IsInitialized\0") }.is_ok()
}

/// A loaded libpython.
#[derive(Clone, Copy)]
pub struct Program(Main);

/// Loads the library for good, and so that extension modules find its functions.
pub fn load(path: &Path) -> Result<Program, libloading::Error> {
    // SAFETY: loading runs the library's constructors, of which libpython has none; its signature of
    // `Py_BytesMain` is the stable ABI's.
    let (library, main) = unsafe {
        let library = Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL)?;
        let main = *library.get::<Main>(b"Py_BytesMain\0")?;
        (library, main)
    };
    mem::forget(library);
    Ok(Program(main))
}

impl Program {
    /// Runs it on a new thread, where no signal of the host program is handled, and then `ended`.
    pub fn run(self, arguments: Vec<CString>, ended: impl FnOnce(i32) + Send + 'static) -> io::Result<()> {
        let Program(main) = self;
        let started = without_signals(|| {
            thread::Builder::new().name("python".into()).stack_size(STACK).spawn(move || {
                // Python may look at its arguments for as long as it lives.
                let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
                let count = i32::try_from(pointers.len()).unwrap_or(0);
                pointers.push(ptr::null_mut());
                let pointers = Box::leak(pointers.into_boxed_slice());
                // SAFETY: the arguments are C strings that live for ever, with NULL behind the last.
                ended(unsafe { main(count, pointers.as_mut_ptr()) });
            })
        });
        started.map(drop)
    }
}

/// As on the main thread of a program.
const STACK: usize = 8 * 1024 * 1024;

/// Those that Python's start sets a disposition for.
const TOUCHED: [i32; 3] = [libc::SIGINT, libc::SIGPIPE, libc::SIGXFSZ];

static DISPOSITIONS: Mutex<Vec<(i32, libc::sigaction)>> = Mutex::new(Vec::new());

/// Keeps how the host program handles signals, for `restore_signals`.
pub fn keep_signals() {
    let current = TOUCHED.map(|signal| {
        // SAFETY: a sigaction of zeros is valid for the kernel to fill; nothing is changed.
        let mut action = unsafe { mem::zeroed::<libc::sigaction>() };
        // SAFETY: as above.
        unsafe { libc::sigaction(signal, ptr::null(), &mut action) };
        (signal, action)
    });
    *DISPOSITIONS.lock() = current.to_vec();
}

/// Signals are the host program's: what Python has set is undone. Those of timers that Python code can arm
/// are without effect where the host has no use for them, since they would end it.
pub fn restore_signals() {
    for (signal, action) in DISPOSITIONS.lock().iter() {
        // SAFETY: the action is one that was in force before.
        unsafe { libc::sigaction(*signal, action, ptr::null_mut()) };
    }
    for signal in [libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF] {
        // SAFETY: a sigaction of zeros is valid: the default, no flags, an empty mask.
        let (mut action, mut before) = unsafe { mem::zeroed::<(libc::sigaction, libc::sigaction)>() };
        // A handler, since programs that are executed later would inherit that a signal is ignored.
        action.sa_sigaction = let_it_go_by as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: no new action is given; the variable outlives the call.
        unsafe { libc::sigaction(signal, ptr::null(), &mut before) };
        if before.sa_sigaction == libc::SIG_DFL {
            // SAFETY: the handler does nothing.
            unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
        }
    }
}

extern "C" fn let_it_go_by(_signal: libc::c_int) {}

/// Threads that `work` starts have all signals blocked.
pub fn without_signals<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: both sets are valid for the calls below to fill.
    let (mut all, mut before) = unsafe { (mem::zeroed::<libc::sigset_t>(), mem::zeroed::<libc::sigset_t>()) };
    // SAFETY: as above.
    unsafe {
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
    }
    let result = work();
    // SAFETY: the mask is the one this thread had.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut()) };
    result
}
