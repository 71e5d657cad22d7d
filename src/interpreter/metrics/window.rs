//! The arithmetic of the metrics: what has happened in a window of time, and since the start. Pure.
//!
//! Runs where applications run, under the lock of `Metrics`. Times are seconds since 1970 and durations
//! seconds, as applications get them. The names of the fields are mod_wsgi's.

use super::histogram::Phase;

/// A value of a dictionary that applications get.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Nothing,
    Int(u64),
    Float(f64),
    Ints(Vec<u64>),
    Floats(Vec<f64>),
    Rows(Vec<Fields>),
}

pub type Fields = Vec<(String, Value)>;

/// What a request's time was spent on.
const PHASES: [&str; 8] =
    ["server", "queue", "daemon", "application", "request", "input_read", "output_write", "gil_wait"];
/// Those that exist in daemons only.
const IN_DAEMONS: [&str; 2] = ["queue", "daemon"];

/// A request that has ended.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub thread: u32,
    pub start: f64,
    pub finish: f64,
    /// In the order of `PHASES`.
    pub phases: [Option<f64>; 8],
    pub cpu: f64,
    pub input_bytes: u64,
    pub input_reads: u64,
    pub output_bytes: u64,
    pub output_writes: u64,
    pub gil_waits: u64,
    pub status: u16,
}

/// The process at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process {
    pub pid: u32,
    pub now: f64,
    pub user: f64,
    pub system: f64,
    pub memory: u64,
    pub maximum_memory: u64,
}

/// One thread that serves requests.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Requests that it is in: httpd may run one inside another.
    depth: u32,
    since: f64,
    /// Up to when the time of what runs is counted.
    counted: f64,
    completed: u64,
    busy: f64,
    cpu: f64,
    longest: f64,
    served: u64,
}

#[derive(Debug, Default)]
struct Window {
    start: f64,
    user: f64,
    system: f64,
    phases: [Phase; 8],
    /// `1xx` to `5xx`.
    classes: [u64; 5],
    input_bytes: u64,
    input_reads: u64,
    output_bytes: u64,
    output_writes: u64,
    gil_waits: u64,
}

pub struct State {
    in_daemon: bool,
    born: f64,
    slots: Vec<Slot>,
    window: Window,
    served: u64,
    busy: f64,
}

impl State {
    pub fn new(threads: u32, in_daemon: bool, process: Process) -> State {
        let slots = vec![Slot::default(); threads as usize];
        State { in_daemon, born: process.now, slots, window: Window::default(), served: 0, busy: 0.0 }
    }

    pub fn begin_anew(&mut self, process: &Process) {
        *self = State::new(self.slots.len() as u32, self.in_daemon, *process);
        self.begin_window(process);
    }

    pub fn begin_window(&mut self, process: &Process) {
        self.window =
            Window { start: process.now, user: process.user, system: process.system, ..Window::default() };
        for slot in &mut self.slots {
            let Slot { depth, since, served, .. } = *slot;
            *slot = Slot { depth, since, served, counted: process.now, ..Slot::default() };
        }
    }

    pub fn begin(&mut self, thread: u32, now: f64) {
        let Some(slot) = slot(&mut self.slots, thread) else { return };
        if slot.depth == 0 {
            (slot.since, slot.counted) = (now, now);
        }
        slot.depth += 1;
    }

    pub fn end(&mut self, request: &Request) {
        self.served += 1;
        if let Some(slot) = slot(&mut self.slots, request.thread) {
            if slot.depth == 0 {
                slot.since = request.start;
                slot.counted = request.start.max(self.window.start);
            }
            slot.depth = slot.depth.saturating_sub(1);
            slot.served += 1;
            slot.completed += 1;
            slot.cpu += request.cpu;
            if slot.depth == 0 {
                self.busy += slot.count(request.finish);
                slot.longest = slot.longest.max(request.finish - slot.since);
            }
        }
        let window = &mut self.window;
        for (phase, time) in window.phases.iter_mut().zip(request.phases) {
            if let Some(time) = time {
                phase.add(time);
            }
        }
        // Without a status, none was given.
        let class = if request.status < 100 { 5 } else { (usize::from(request.status) / 100).min(5) };
        window.classes[class - 1] += 1;
        window.input_bytes += request.input_bytes;
        window.input_reads += request.input_reads;
        window.output_bytes += request.output_bytes;
        window.output_writes += request.output_writes;
        window.gil_waits += request.gil_waits;
    }

    /// What has happened since the last window, which ends now.
    pub fn drain(&mut self, process: &Process) -> Fields {
        for slot in self.slots.iter_mut().filter(|slot| slot.depth > 0) {
            self.busy += slot.count(process.now);
        }
        let mut fields = self.of_window(process);
        fields.extend(self.of_threads(process));
        let count = self.window.classes.iter().sum::<u64>();
        for (name, phase) in PHASES.iter().zip(&self.window.phases) {
            let missing = !self.in_daemon && IN_DAEMONS.contains(name);
            let mean =
                if missing { Value::Nothing } else { Value::Float(phase.total() / (count.max(1) as f64)) };
            let microseconds = |time: Option<f64>| {
                time.map_or(Value::Nothing, |time| Value::Int((time * 1e6).round() as u64))
            };
            fields.push((format!("{name}_time"), mean));
            fields.push((format!("{name}_time_min_us"), microseconds(phase.smallest())));
            fields.push((format!("{name}_time_max_us"), microseconds(phase.largest())));
            fields.push((format!("{name}_time_buckets"), Value::Ints(phase.buckets().to_vec())));
        }
        self.begin_window(process);
        fields
    }

    fn of_window(&self, process: &Process) -> Fields {
        let window = &self.window;
        let period = (process.now - window.start).max(0.0);
        let rate = |amount: f64| Value::Float(if period > 0.0 { amount.max(0.0) / period } else { 0.0 });
        let (user, system) = (process.user - window.user, process.system - window.system);
        let count = window.classes.iter().sum::<u64>();
        let mut fields = named([
            ("pid", Value::Int(process.pid.into())),
            ("start_time", Value::Float(window.start)),
            ("stop_time", Value::Float(process.now)),
            ("sample_period", Value::Float(period)),
            ("request_count", Value::Int(count)),
            ("request_throughput", rate(count as f64)),
            ("input_bytes", Value::Int(window.input_bytes)),
            ("input_reads", Value::Int(window.input_reads)),
            ("output_bytes", Value::Int(window.output_bytes)),
            ("output_writes", Value::Int(window.output_writes)),
            ("gil_wait_count", Value::Int(window.gil_waits)),
            ("memory_rss", Value::Int(process.memory)),
            ("memory_max_rss", Value::Int(process.maximum_memory)),
        ]);
        // The second name of each is mod_wsgi's older one.
        for (name, amount) in [("user_", user), ("system_", system), ("", user + system)] {
            fields.push((format!("cpu_{name}utilization"), rate(amount)));
            fields.push((format!("cpu_{name}time"), rate(amount)));
        }
        for (class, number) in (1..).zip(window.classes) {
            fields.push((format!("status_{class}xx"), Value::Int(number)));
        }
        fields
    }

    fn of_threads(&self, process: &Process) -> Fields {
        let floats = |of: fn(&Slot) -> f64| Value::Floats(self.slots.iter().map(of).collect());
        let completed = Value::Ints(self.slots.iter().map(|slot| slot.completed).collect());
        let number = |of: fn(&&Slot) -> bool| Value::Int(self.slots.iter().filter(of).count() as u64);
        let elapsed = |slot: &Slot| if slot.depth > 0 { (process.now - slot.since).max(0.0) } else { 0.0 };
        let busy = self.slots.iter().map(|slot| slot.busy).sum::<f64>();
        let room = (process.now - self.window.start) * self.slots.len() as f64;
        named([
            ("request_threads_maximum", Value::Int(self.slots.len() as u64)),
            ("request_threads_started", number(|slot| slot.depth > 0 || slot.served > 0)),
            ("request_threads_active", number(|slot| slot.depth > 0 || slot.completed > 0)),
            ("capacity_utilization", Value::Float(if room > 0.0 { busy / room } else { 0.0 })),
            ("request_threads_completed", completed.clone()),
            ("request_threads_buckets", completed),
            ("request_threads_busy_time", floats(|slot| slot.busy)),
            ("request_threads_cpu_time", floats(|slot| slot.cpu)),
            ("request_threads_current_elapsed", Value::Floats(self.slots.iter().map(elapsed).collect())),
            ("request_threads_max_duration", floats(|slot| slot.longest)),
        ])
    }

    /// What has happened since recording began.
    pub fn totals(&mut self, process: &Process) -> Fields {
        for slot in self.slots.iter_mut().filter(|slot| slot.depth > 0) {
            self.busy += slot.count(process.now);
        }
        let used = |slot: &&(u64, &Slot)| slot.1.depth > 0 || slot.1.served > 0;
        let slots: Vec<_> = (1..).zip(&self.slots).collect();
        let threads: Vec<Fields> = slots
            .iter()
            .filter(used)
            .map(|(id, slot)| {
                named([("thread_id", Value::Int(*id)), ("request_count", Value::Int(slot.served))])
            })
            .collect();
        let active = self.slots.iter().map(|slot| u64::from(slot.depth)).sum();
        let running = (process.now - self.born).max(0.0);
        named([
            ("pid", Value::Int(process.pid.into())),
            ("restart_time", Value::Float(self.born)),
            ("current_time", Value::Float(process.now)),
            ("running_time", Value::Int(running as u64)),
            ("request_count", Value::Int(self.served)),
            ("request_busy_time", Value::Float(self.busy)),
            ("request_threads", Value::Int(threads.len() as u64)),
            ("active_requests", Value::Int(active)),
            ("cpu_user_time", Value::Float(process.user)),
            ("cpu_system_time", Value::Float(process.system)),
            ("cpu_time", Value::Float(process.user + process.system)),
            ("memory_rss", Value::Int(process.memory)),
            ("memory_max_rss", Value::Int(process.maximum_memory)),
            ("threads", Value::Rows(threads)),
        ])
    }
}

impl Slot {
    /// Counts the time up to this moment; how much that was.
    fn count(&mut self, now: f64) -> f64 {
        let time = (now - self.counted).max(0.0);
        self.counted = now;
        self.busy += time;
        time
    }
}

fn slot(slots: &mut [Slot], thread: u32) -> Option<&mut Slot> {
    slots.get_mut((thread as usize).checked_sub(1)?)
}

pub fn named<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    fields.map(|(name, value)| (name.to_string(), value)).into()
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
