//! The decoders and parsers as entry points for a fuzzer: what a client, a site or a configuration can write.
//!
//! Compiled into the unit tests, which run a short slice of it, and with the feature `fuzzing` into the
//! program of tests/hostile/fuzz. A target takes any bytes; that it returns at all says that they were
//! refused cleanly, or that what they mean keeps its meaning when it is written and read again.

mod configuration;
mod control;
mod headers;
mod mutation;
mod wire;

mod parts;

/// One decoder or parser.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Inputs that are taken, for the fuzzer to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "frames", run: wire::frames, seeds: wire::frame_seeds },
    Target { name: "requests", run: wire::requests, seeds: wire::request_seeds },
    Target { name: "questions", run: wire::questions, seeds: wire::question_seeds },
    Target { name: "verdicts", run: wire::verdicts, seeds: wire::verdict_seeds },
    Target { name: "heads", run: wire::heads, seeds: wire::head_seeds },
    Target { name: "payloads", run: wire::payloads, seeds: wire::payload_seeds },
    Target { name: "scoreboard", run: wire::scoreboard, seeds: wire::scoreboard_seeds },
    Target { name: "reports", run: control::reports, seeds: control::report_seeds },
    Target { name: "orders", run: control::orders, seeds: control::order_seeds },
    Target { name: "launch", run: control::launch, seeds: control::launch_seeds },
    Target { name: "retained", run: control::retained, seeds: control::retained_seeds },
    Target { name: "env_files", run: configuration::env_files, seeds: configuration::env_file_seeds },
    Target { name: "aliases", run: configuration::aliases, seeds: configuration::alias_seeds },
    Target { name: "group_names", run: configuration::group_names, seeds: configuration::group_name_seeds },
    Target { name: "words", run: configuration::words, seeds: configuration::word_seeds },
    Target { name: "values", run: configuration::values, seeds: configuration::value_seeds },
    Target { name: "options", run: configuration::options, seeds: configuration::option_seeds },
    Target { name: "directives", run: configuration::directives, seeds: configuration::directive_seeds },
    Target { name: "networks", run: headers::networks, seeds: headers::network_seeds },
    Target { name: "forwarded", run: headers::forwarded, seeds: headers::forwarded_seeds },
    Target { name: "answers", run: headers::answers, seeds: headers::answer_seeds },
    Target { name: "chunks", run: headers::chunks, seeds: headers::chunk_seeds },
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::mutation::Mutator;
    use super::*;

    /// With FUZZ_ITERATIONS and FUZZ_SEED from the environment, for more and others than `make test` takes.
    #[test]
    fn no_input_harms() {
        let number =
            |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
        let (iterations, seed) = (number("FUZZ_ITERATIONS", 1_000), number("FUZZ_SEED", 1));
        for target in TARGETS {
            let mut inputs = (target.seeds)();
            assert!(!inputs.is_empty(), "{} has seeds", target.name);
            inputs.extend(kept(target.name));
            inputs.iter().for_each(|input| run(target, input, seed));
            let mut mutator = Mutator::new(seed);
            for _ in 0..iterations {
                run(target, &mutator.next(&inputs), seed);
            }
        }
    }

    fn run(target: &Target, input: &[u8], seed: u64) {
        let outcome = std::panic::catch_unwind(|| (target.run)(input));
        assert!(outcome.is_ok(), "{} (FUZZ_SEED={seed}) fails for {input:?}", target.name);
    }

    /// What the fuzzer has found to be different from all others.
    fn kept(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/corpus").join(name);
        let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.collect();
        files.sort();
        files.into_iter().map(|file| fs::read(file).unwrap()).collect()
    }
}
