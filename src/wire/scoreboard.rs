//! httpd's scoreboard as values: which children there are, and what their threads do.
//!
//! Read from httpd by `apache::scoreboard`, shown to applications by `interpreter::server_metrics`; to a
//! daemon it goes from the supervisor as bytes. Times are microseconds since 1970; 0 is never.

use super::codec::{Decoder, Encoder, Malformed};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scoreboard {
    pub server_limit: i64,
    pub thread_limit: i64,
    pub running_generation: i64,
    pub restart_time: i64,
    pub current_time: i64,
    pub processes: Vec<Process>,
}

/// A place for a child of httpd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i64,
    pub generation: i64,
    pub quiescing: bool,
    pub workers: Vec<Worker>,
}

/// A place for one of its threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    pub thread_num: i64,
    pub generation: i64,
    /// The letter that mod_status shows.
    pub status: u8,
    pub access_count: i64,
    pub bytes_served: i64,
    pub start_time: i64,
    pub stop_time: i64,
    pub last_used: i64,
    pub client: Vec<u8>,
    pub request: Vec<u8>,
    pub vhost: Vec<u8>,
}

impl Scoreboard {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut e = Encoder::new(&mut out);
        for number in [
            self.server_limit,
            self.thread_limit,
            self.running_generation,
            self.restart_time,
            self.current_time,
        ] {
            e.i64(number);
        }
        e.u32(self.processes.len() as u32);
        for process in &self.processes {
            e.i64(process.pid);
            e.i64(process.generation);
            e.bool(process.quiescing);
            e.u32(process.workers.len() as u32);
            for worker in &process.workers {
                worker.encode(&mut e);
            }
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Scoreboard, Malformed> {
        let mut d = Decoder::new(bytes);
        Ok(Scoreboard {
            server_limit: d.i64()?,
            thread_limit: d.i64()?,
            running_generation: d.i64()?,
            restart_time: d.i64()?,
            current_time: d.i64()?,
            processes: d.list(Process::decode)?,
        })
    }
}

impl Process {
    fn decode(d: &mut Decoder<'_>) -> Result<Process, Malformed> {
        Ok(Process {
            pid: d.i64()?,
            generation: d.i64()?,
            quiescing: d.bool()?,
            workers: d.list(Worker::decode)?,
        })
    }
}

impl Worker {
    fn encode(&self, e: &mut Encoder<'_>) {
        e.i64(self.thread_num);
        e.i64(self.generation);
        e.u8(self.status);
        for number in [self.access_count, self.bytes_served, self.start_time, self.stop_time, self.last_used]
        {
            e.i64(number);
        }
        for text in [&self.client, &self.request, &self.vhost] {
            e.bytes(text);
        }
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Worker, Malformed> {
        Ok(Worker {
            thread_num: d.i64()?,
            generation: d.i64()?,
            status: d.u8()?,
            access_count: d.i64()?,
            bytes_served: d.i64()?,
            start_time: d.i64()?,
            stop_time: d.i64()?,
            last_used: d.i64()?,
            client: d.bytes()?.to_vec(),
            request: d.bytes()?.to_vec(),
            vhost: d.bytes()?.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scoreboard_comes_back_as_it_was() {
        let worker = Worker {
            thread_num: 3,
            generation: 1,
            status: b'W',
            access_count: 17,
            bytes_served: 1 << 40,
            start_time: 5,
            stop_time: 0,
            last_used: 6,
            client: b"::1".to_vec(),
            request: b"GET /\xff HTTP/1.1".to_vec(),
            vhost: b"blog.example:80".to_vec(),
        };
        let process =
            Process { pid: 4711, generation: 1, quiescing: true, workers: vec![worker.clone(), worker] };
        let scoreboard = Scoreboard {
            server_limit: 2,
            thread_limit: 64,
            running_generation: 1,
            restart_time: 1,
            current_time: 2,
            processes: vec![process, Process { pid: 0, generation: 0, quiescing: false, workers: vec![] }],
        };
        let bytes = scoreboard.encode();
        assert_eq!(Scoreboard::decode(&bytes), Ok(scoreboard));
        for cut in 0..bytes.len() {
            assert_eq!(Scoreboard::decode(&bytes[..cut]), Err(Malformed));
        }
    }
}
