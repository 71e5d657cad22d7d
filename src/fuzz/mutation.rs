//! New inputs from old ones, by a sequence of numbers that a seed repeats.
//!
//! Used by the unit test of this folder alone: libFuzzer has its own.
#![cfg(test)]

/// Numbers that stand at the edges of lengths and kinds.
const EDGES: [u64; 10] = [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX >> 1, u64::MAX];

pub struct Mutator(u64);

impl Mutator {
    pub fn new(seed: u64) -> Mutator {
        Mutator(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One of these, changed in one to four places.
    pub fn next(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(4) {
            self.change(&mut input, inputs);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let (kind, at) = (self.below(7), self.below(input.len() + 1));
        let until = at + self.below(input.len() - at + 1);
        match kind {
            0 if at < input.len() => input[at] = self.below(256) as u8,
            1 if at < input.len() => input[at] ^= 1 << self.below(8),
            2 => input.insert(at, self.below(256) as u8),
            3 => drop(input.drain(at..until)),
            4 => {
                let copy = input[at..until].to_vec();
                input.splice(at..at, copy);
            }
            5 => {
                let edge = EDGES[self.below(EDGES.len())].to_le_bytes();
                let width = [1, 4, 8][self.below(3)];
                let end = input.len().min(at + width);
                input.splice(at..end, edge[..width].iter().copied());
            }
            _ => {
                let other = &inputs[self.below(inputs.len())];
                input.truncate(at);
                input.extend_from_slice(&other[self.below(other.len() + 1)..]);
            }
        }
        input.truncate(1 << 16);
    }

    /// A number below this, which is not 0 (xorshift).
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
