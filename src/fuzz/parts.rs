//! Inputs of several parts, and lists of inputs.
//!
//! The targets of this folder use it.

/// The parts of an input that its zero bytes separate, as text.
pub fn texts(input: &[u8]) -> Option<Vec<&str>> {
    input.split(|byte| *byte == 0).map(|part| std::str::from_utf8(part).ok()).collect()
}

/// Seeds as the fuzzer takes them.
pub fn owned(seeds: &[&[u8]]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.to_vec()).collect()
}
