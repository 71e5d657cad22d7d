//! Windows with a made-up clock.

use super::*;

fn process(now: f64) -> Process {
    Process { pid: 7, now, user: now / 10.0, system: now / 20.0, memory: 1000, maximum_memory: 2000 }
}

/// In a process of two threads, from second 100 on.
fn recording(in_daemon: bool) -> State {
    let mut state = State::new(2, in_daemon, process(90.0));
    state.begin_window(&process(100.0));
    state
}

fn request(thread: u32, finish: f64, application: f64) -> Request {
    Request {
        thread,
        start: finish - application,
        finish,
        phases: [None, None, None, Some(application), None, Some(0.0), None, None],
        cpu: 0.25,
        input_bytes: 10,
        input_reads: 2,
        output_bytes: 100,
        output_writes: 3,
        gil_waits: 4,
        status: 200,
    }
}

fn field(fields: &Fields, name: &str) -> Value {
    let mut found = fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone());
    let value = found.next().unwrap_or_else(|| panic!("there is no {name}"));
    assert!(found.next().is_none(), "{name} is there once");
    value
}

#[track_caller]
fn has(fields: &Fields, expected: &[(&str, Value)]) {
    for (name, value) in expected {
        assert_eq!(field(fields, name), *value, "{name}");
    }
}

#[test]
fn a_window_has_what_ended_in_it() {
    let mut state = recording(true);
    state.begin(1, 101.0);
    state.begin(2, 103.0);
    state.end(&request(1, 102.0, 1.0));
    state.begin(1, 104.0);
    state.end(&Request { status: 404, ..request(1, 104.5, 0.5) });
    let fields = state.drain(&process(110.0));
    has(
        &fields,
        &[
            ("pid", Value::Int(7)),
            ("start_time", Value::Float(100.0)),
            ("stop_time", Value::Float(110.0)),
            ("sample_period", Value::Float(10.0)),
            ("request_count", Value::Int(2)),
            ("request_throughput", Value::Float(0.2)),
            ("request_threads_maximum", Value::Int(2)),
            ("request_threads_started", Value::Int(2)),
            ("request_threads_active", Value::Int(2)),
            ("capacity_utilization", Value::Float((1.5 + 7.0) / 20.0)),
            ("request_threads_completed", Value::Ints(vec![2, 0])),
            ("request_threads_busy_time", Value::Floats(vec![1.5, 7.0])),
            ("request_threads_cpu_time", Value::Floats(vec![0.5, 0.0])),
            ("request_threads_current_elapsed", Value::Floats(vec![0.0, 7.0])),
            ("request_threads_max_duration", Value::Floats(vec![1.0, 0.0])),
            ("application_time", Value::Float(0.75)),
            ("application_time_min_us", Value::Int(500_000)),
            ("application_time_max_us", Value::Int(1_000_000)),
            ("queue_time", Value::Float(0.0)),
            ("queue_time_min_us", Value::Nothing),
            ("status_2xx", Value::Int(1)),
            ("status_4xx", Value::Int(1)),
            ("input_bytes", Value::Int(20)),
            ("output_writes", Value::Int(6)),
            ("gil_wait_count", Value::Int(8)),
            ("cpu_user_utilization", Value::Float(0.1)),
            ("cpu_time", Value::Float(1.5 / 10.0)),
            ("memory_max_rss", Value::Int(2000)),
        ],
    );
}

#[test]
fn the_next_window_has_the_rest() {
    let mut state = recording(true);
    state.begin(2, 103.0);
    state.drain(&process(110.0));
    state.end(&request(2, 112.0, 9.0));
    let fields = state.drain(&process(120.0));
    has(
        &fields,
        &[
            ("start_time", Value::Float(110.0)),
            ("request_count", Value::Int(1)),
            ("request_threads_busy_time", Value::Floats(vec![0.0, 2.0])),
            ("request_threads_max_duration", Value::Floats(vec![0.0, 9.0])),
            ("application_time_max_us", Value::Int(9_000_000)),
        ],
    );
    let fields = state.drain(&process(121.0));
    has(&fields, &[("request_count", Value::Int(0)), ("request_threads_active", Value::Int(0))]);
    has(&fields, &[("request_threads_started", Value::Int(1)), ("application_time_max_us", Value::Nothing)]);
}

#[test]
fn embedded_mode_has_no_queue() {
    let fields = recording(false).drain(&process(101.0));
    has(&fields, &[("queue_time", Value::Nothing), ("daemon_time", Value::Nothing)]);
    has(&fields, &[("server_time", Value::Float(0.0)), ("queue_time_buckets", Value::Ints(vec![0; 65]))]);
}

#[test]
fn totals_go_on_over_windows() {
    let mut state = recording(true);
    state.begin(1, 101.0);
    state.end(&request(1, 102.0, 1.0));
    state.drain(&process(110.0));
    state.begin(2, 110.0);
    let fields = state.totals(&process(113.0));
    let row = |id, count| named([("thread_id", Value::Int(id)), ("request_count", Value::Int(count))]);
    has(
        &fields,
        &[
            ("restart_time", Value::Float(90.0)),
            ("running_time", Value::Int(23)),
            ("request_count", Value::Int(1)),
            ("request_busy_time", Value::Float(4.0)),
            ("request_threads", Value::Int(2)),
            ("active_requests", Value::Int(1)),
            ("threads", Value::Rows(vec![row(1, 1), row(2, 0)])),
        ],
    );
}

#[test]
fn odd_requests_do_no_harm() {
    let mut state = recording(true);
    for thread in [0, 3, u32::MAX] {
        state.begin(thread, 101.0);
        state.end(&Request { status: 0, ..request(thread, 102.0, 1.0) });
    }
    // One inside another, and a clock that was set back.
    state.begin(1, 105.0);
    state.begin(1, 105.5);
    state.end(&Request { status: 999, ..request(1, 104.0, 0.0) });
    state.end(&request(1, 104.0, 0.0));
    let fields = state.drain(&process(99.0));
    has(
        &fields,
        &[("request_count", Value::Int(5)), ("status_2xx", Value::Int(1)), ("status_5xx", Value::Int(4))],
    );
    has(&fields, &[("request_threads_busy_time", Value::Floats(vec![0.0, 0.0]))]);
    has(&fields, &[("sample_period", Value::Float(0.0)), ("request_throughput", Value::Float(0.0))]);
    has(
        &fields,
        &[
            ("request_threads_completed", Value::Ints(vec![2, 0])),
            ("capacity_utilization", Value::Float(0.0)),
        ],
    );
}

#[test]
fn a_request_that_began_before_recording_counts_from_there() {
    let mut state = recording(true);
    state.end(&request(2, 103.0, 8.0));
    let fields = state.drain(&process(110.0));
    has(&fields, &[("request_count", Value::Int(1)), ("request_threads_completed", Value::Ints(vec![0, 1]))]);
    has(&fields, &[("request_threads_busy_time", Value::Floats(vec![0.0, 3.0]))]);
    has(&fields, &[("request_threads_max_duration", Value::Floats(vec![0.0, 8.0]))]);
}

#[test]
fn a_forked_process_begins_with_nothing() {
    let mut state = recording(true);
    state.begin(1, 101.0);
    state.end(&request(1, 102.0, 1.0));
    state.begin_anew(&process(200.0));
    has(&state.totals(&process(201.0)), &[("request_count", Value::Int(0)), ("running_time", Value::Int(1))]);
    has(
        &state.drain(&process(202.0)),
        &[("start_time", Value::Float(200.0)), ("request_count", Value::Int(0))],
    );
}
