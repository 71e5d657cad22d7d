def application(environ, start_response):
    body = environ["wsgi.input"].read()
    answer = b"%d bytes" % len(body)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(answer)))])
    return [answer]
