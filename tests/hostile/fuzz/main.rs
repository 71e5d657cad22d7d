//! libFuzzer for one decoder or parser: FUZZ_TARGET names it. tests/hostile/fuzz.sh builds and runs this.
//!
//! With FUZZ_SEEDS, a folder, the target's seeds are written there and nothing else happens. Beside panics,
//! memory is watched: no input makes its reader allocate out of proportion.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use mod_wsgi_rs::fuzz::{TARGETS, Target};

/// What a target may use beside what its input warrants: a buffer of an inbox, tables, messages.
const ROOM: usize = 1 << 20;
const PER_BYTE: usize = 200;

struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(IN_USE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller says.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("FUZZ_TARGET is {name:?}: set it to one of {}", names.join(" "));
        std::process::exit(2)
    })
});

fn begin() {
    let target = *TARGET;
    if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(std::path::Path::new(&folder).join(format!("seed-{number}")), seed)
                .expect("a folder");
        }
        std::process::exit(0)
    }
}

libfuzzer_sys::fuzz_target!(init: begin(), |input: &[u8]| {
    let before = IN_USE.load(Relaxed);
    MOST.store(before, Relaxed);
    (TARGET.run)(input);
    let used = MOST.load(Relaxed) - before;
    assert!(used <= ROOM + PER_BYTE * input.len(), "{used} bytes of memory for {} of input", input.len());
});
