# The events of requests, executed once in every interpreter by world.rs. Rust calls these functions for
# requests that are watched, and for no others: application code has subscribed to events, or has asked for
# metrics or `active_requests`.

event_callbacks = []
active_requests = {}
TIMES = ("request_start", "queue_start", "daemon_start")


def request_started(environ, application, callable_object, request_data):
    """Tells of a request that begins; returns what is to run, and what later events say of the request too."""
    known = {"thread_id": environ["mod_wsgi.thread_id"], "server_pid": int(environ["mod_wsgi.server_pid"])}
    known.update((name, environ.get("mod_wsgi." + name, 0.0)) for name in TIMES)
    known["application_start"] = environ["mod_wsgi.application_start"]
    known["request_id"] = environ.get("mod_wsgi.request_id")
    known["request_data"] = request_data
    active_requests[known["request_id"]] = request_data
    event = dict(known, application_object=application, callable_object=callable_object, request_environ=environ)
    # One connection of a group's serves the whole request; a process that ends meanwhile is another request's affair.
    event.update(daemon_connects=int(known["daemon_start"] > 0), daemon_restarts=0)
    try:
        tell(event_callbacks, "request_started", event)
    except BaseException:
        del active_requests[known["request_id"]]
        raise
    return event["application_object"], known


def response_started(known, status, headers, exc_info):
    event = of_request(known, response_status=status, response_headers=headers, exception_info=exc_info)
    tell(event_callbacks, "response_started", event)


def request_exception(known, *exc_info):
    tell(event_callbacks, "request_exception", of_request(known, exception_info=exc_info))


def request_finished(known, measured):
    try:
        tell(event_callbacks, "request_finished", {**known, **measured})
    finally:
        active_requests.pop(known["request_id"], None)


def of_request(known, **event):
    return dict(event, request_id=known["request_id"], request_data=known["request_data"])


def tell(callbacks, name, event, let_go=RequestTimeout):
    """Tells all subscribers; what one returns is there for those after it, and what one raises is logged."""
    for callback in list(callbacks):
        try:
            changes = callback(name, **event)
        except let_go:
            raise
        except BaseException:
            log_subscriber(name, callback)
        else:
            if isinstance(changes, dict):
                event.update(changes)


def log_subscriber(name, callback):
    where = getattr(callback, "__qualname__", type(callback).__qualname__)
    text = "a subscriber of events, %s in %s, raised an exception when it was told of %s; all else goes on"
    module = getattr(callback, "__module__", "an unknown module")
    file = getattr(sys.modules.get(module), "__file__", module)
    error_log.log(3, "mod_wsgi_rs: WSGI440: " + text % (where, file, name))
    error_log.write(describe(*sys.exc_info()))
