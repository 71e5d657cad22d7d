"""Is not Python at all."""

def application(environ, start_response)
    return []
