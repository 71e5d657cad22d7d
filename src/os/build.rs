//! Which build of this module a process runs: the version, and the build id that the linker made of its
//! contents.
//!
//! The supervisor calls it, whose code is httpd's copy of the file, and the daemons, which have loaded the
//! file themselves: the two builds must be one. The id is read from memory, so it is that of the code that
//! runs, whatever has become of the file. It is in a note of the ELF file (elf(5)).

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::slice;

use once_cell::sync::Lazy;

/// `NT_GNU_BUILD_ID`, and its owner's name as it stands in the note.
const KIND: u32 = 3;
const OWNER: &[u8] = b"GNU\0";

/// The build, such as `0.1.0-5b8c0f…`; the version alone for a build without an id.
pub fn build() -> &'static str {
    static BUILD: Lazy<String> = Lazy::new(|| {
        let id: String = own_id().iter().map(|byte| format!("{byte:02x}")).collect();
        let separator = if id.is_empty() { "" } else { "-" };
        format!("{}{separator}{id}", env!("CARGO_PKG_VERSION"))
    });
    &BUILD
}

fn own_id() -> Vec<u8> {
    let mut id = Vec::new();
    // SAFETY: the callback is called during the call only, with the data that is given here. (rustix and nix
    // have no dl_iterate_phdr.)
    unsafe { libc::dl_iterate_phdr(Some(look_at_object), (&raw mut id).cast()) };
    id
}

/// Looks at one loaded object, and ends the search with 1 when the object is this library.
unsafe extern "C" fn look_at_object(info: *mut libc::dl_phdr_info, _size: usize, id: *mut c_void) -> c_int {
    // SAFETY: the loader gives a description that is valid during the call.
    let info = unsafe { &*info };
    // SAFETY: the loader's table has so many entries.
    let segments = unsafe { slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let start = |segment: &Segment| (info.dlpi_addr as usize).wrapping_add(segment.p_vaddr as usize);
    let own = own_id as *const () as usize;
    let is_own = |segment: &&Segment| {
        segment.p_type == libc::PT_LOAD && own.wrapping_sub(start(segment)) < segment.p_memsz as usize
    };
    if !segments.iter().any(|segment| is_own(&segment)) {
        return 0;
    }
    let notes = segments.iter().filter(|segment| segment.p_type == libc::PT_NOTE);
    let found = notes.map(|segment| (start(segment) as *const u8, segment)).find_map(|(start, segment)| {
        // SAFETY: a segment of this library, which is loaded, and read-only.
        let notes = unsafe { slice::from_raw_parts(start, segment.p_memsz as usize) };
        id_in(notes, segment.p_align as usize)
    });
    if let Some(found) = found {
        // SAFETY: the vector of `own_id`, which nothing else uses meanwhile.
        unsafe { *id.cast::<Vec<u8>>() = found.to_vec() };
    }
    1
}

#[cfg(target_pointer_width = "64")]
type Segment = libc::Elf64_Phdr;
#[cfg(target_pointer_width = "32")]
type Segment = libc::Elf32_Phdr;

/// The build id among notes: each has the lengths of its two parts and its kind, then the parts, each of
/// which begins at a multiple of the alignment.
fn id_in(mut notes: &[u8], alignment: usize) -> Option<&[u8]> {
    let alignment = alignment.clamp(4, 8);
    loop {
        let word = |index: usize| Some(u32::from_ne_bytes(notes.get(index * 4..)?.first_chunk().copied()?));
        let (name, text, kind) = (word(0)? as usize, word(1)? as usize, word(2)?);
        let begin = (12 + name).next_multiple_of(alignment);
        let found = notes.get(begin..begin + text)?;
        if kind == KIND && notes.get(12..12 + name)? == OWNER {
            return Some(found);
        }
        notes = notes.get((begin + text).next_multiple_of(alignment)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: u32, name: &[u8], text: &[u8]) -> Vec<u8> {
        let words = [name.len() as u32, text.len() as u32, kind];
        let mut note: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        for part in [name, text] {
            note.extend_from_slice(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    #[test]
    fn the_id_is_found_behind_other_notes() {
        let notes = [note(5, OWNER, b"property"), note(KIND, b"Go\0", b"no"), note(KIND, OWNER, b"\x01\xab")];
        assert_eq!(id_in(&notes.concat(), 4), Some(&b"\x01\xab"[..]));
        assert_eq!(id_in(&notes[..2].concat(), 4), None);
        assert_eq!(id_in(&notes.concat()[..50], 4), None, "cut in the middle");
        assert_eq!(id_in(b"", 0), None);
    }

    #[test]
    fn a_build_begins_with_its_version() {
        assert!(build().starts_with(env!("CARGO_PKG_VERSION")));
        assert_eq!(build(), build());
    }
}
