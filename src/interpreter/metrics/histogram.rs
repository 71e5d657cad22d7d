//! How long something took each time: sum, extremes, and a histogram with mod_wsgi's bounds. Pure.
//!
//! Runs where applications run, for `window`.

/// 16 octaves from 1 ms on, each of 4 equal parts, and what is longer.
pub const BUCKETS: usize = 16 * 4 + 1;

#[derive(Debug, Clone)]
pub struct Phase {
    total: f64,
    extremes: Option<(f64, f64)>,
    buckets: [u64; BUCKETS],
}

impl Default for Phase {
    fn default() -> Phase {
        Phase { total: 0.0, extremes: None, buckets: [0; BUCKETS] }
    }
}

impl Phase {
    pub fn add(&mut self, seconds: f64) {
        self.total += seconds;
        let (smallest, largest) = self.extremes.unwrap_or((seconds, seconds));
        self.extremes = Some((smallest.min(seconds), largest.max(seconds)));
        self.buckets[bucket(seconds)] += 1;
    }

    pub fn total(&self) -> f64 {
        self.total
    }

    pub fn smallest(&self) -> Option<f64> {
        self.extremes.map(|(smallest, _)| smallest)
    }

    pub fn largest(&self) -> Option<f64> {
        self.extremes.map(|(_, largest)| largest)
    }

    pub fn buckets(&self) -> &[u64] {
        &self.buckets
    }
}

fn bucket(seconds: f64) -> usize {
    // From 1 ms on the integer part of quarters tells the place exactly.
    let quarters = (seconds * 4000.0) as u64;
    if quarters < 4 {
        return 0;
    }
    let octave = quarters.ilog2() as usize - 2;
    let part = (quarters >> octave) as usize - 4;
    (octave * 4 + part).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_octave_has_four_parts() {
        for (milliseconds, expected) in [
            (0.0, 0),
            (0.9, 0),
            (1.0, 0),
            (1.24, 0),
            (1.25, 1),
            (1.75, 3),
            (1.99, 3),
            (2.0, 4),
            (2.5, 5),
            (3.9, 7),
            (4.0, 8),
            (1000.0, 39),
            (1024.0, 40),
            (65_535.0, 63),
            (65_536.0, 64),
            (1e9, 64),
        ] {
            assert_eq!(bucket(milliseconds / 1000.0), expected, "{milliseconds} ms");
        }
    }

    #[test]
    fn extremes_are_those_of_what_was_added() {
        let mut phase = Phase::default();
        assert_eq!((phase.smallest(), phase.largest()), (None, None));
        for seconds in [0.002, 0.0005, 3.0] {
            phase.add(seconds);
        }
        assert_eq!((phase.smallest(), phase.largest()), (Some(0.0005), Some(3.0)));
        assert!((phase.total() - 3.0025).abs() < 1e-9);
        assert_eq!(phase.buckets().iter().sum::<u64>(), 3);
    }
}
