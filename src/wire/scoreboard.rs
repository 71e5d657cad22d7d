//! httpd's scoreboard as bytes, on its way to the daemons that may see it.
//!
//! Written by the supervisor to a group's scoreboard page, and read from there by daemons. The order of the
//! fields is the format: both processes are of one build.

use super::codec::{Decoder, Encoder, Malformed};
use crate::scoreboard::{ProcessScore, Scoreboard, WorkerScore};

pub fn encode_scoreboard(scoreboard: &Scoreboard) -> Vec<u8> {
    let mut out = Vec::new();
    let mut e = Encoder::new(&mut out);
    for number in [
        scoreboard.server_limit,
        scoreboard.thread_limit,
        scoreboard.running_generation,
        scoreboard.restart_time,
        scoreboard.current_time,
    ] {
        e.i64(number);
    }
    e.u32(scoreboard.processes.len() as u32);
    for process in &scoreboard.processes {
        e.i64(process.pid);
        e.i64(process.generation);
        e.bool(process.quiescing);
        e.u32(process.workers.len() as u32);
        for worker in &process.workers {
            encode_worker(&mut e, worker);
        }
    }
    out
}

fn encode_worker(e: &mut Encoder<'_>, worker: &WorkerScore) {
    e.i64(worker.thread_num);
    e.i64(worker.generation);
    e.u8(worker.status);
    for number in
        [worker.access_count, worker.bytes_served, worker.start_time, worker.stop_time, worker.last_used]
    {
        e.i64(number);
    }
    for text in [&worker.client, &worker.request, &worker.vhost] {
        e.bytes(text);
    }
}

pub fn decode_scoreboard(bytes: &[u8]) -> Result<Scoreboard, Malformed> {
    let mut d = Decoder::new(bytes);
    Ok(Scoreboard {
        server_limit: d.i64()?,
        thread_limit: d.i64()?,
        running_generation: d.i64()?,
        restart_time: d.i64()?,
        current_time: d.i64()?,
        processes: d.list(decode_process)?,
    })
}

fn decode_process(d: &mut Decoder<'_>) -> Result<ProcessScore, Malformed> {
    Ok(ProcessScore {
        pid: d.i64()?,
        generation: d.i64()?,
        quiescing: d.bool()?,
        workers: d.list(decode_worker)?,
    })
}

fn decode_worker(d: &mut Decoder<'_>) -> Result<WorkerScore, Malformed> {
    Ok(WorkerScore {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scoreboard_comes_back_as_it_was() {
        let worker = WorkerScore {
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
            ProcessScore { pid: 4711, generation: 1, quiescing: true, workers: vec![worker.clone(), worker] };
        let scoreboard = Scoreboard {
            server_limit: 2,
            thread_limit: 64,
            running_generation: 1,
            restart_time: 1,
            current_time: 2,
            processes: vec![
                process,
                ProcessScore { pid: 0, generation: 0, quiescing: false, workers: vec![] },
            ],
        };
        let bytes = encode_scoreboard(&scoreboard);
        assert_eq!(decode_scoreboard(&bytes), Ok(scoreboard));
        for cut in 0..bytes.len() {
            assert_eq!(decode_scoreboard(&bytes[..cut]), Err(Malformed));
        }
    }
}
