"""A Flask site: pages, a form, a session cookie, an upload, a stream and an error."""

from flask import Flask, Response, abort, jsonify, redirect, request, session, url_for

application = app = Flask(__name__)
app.secret_key = "only for tests"


@app.get("/")
def index():
    return f"<a href='{url_for('form')}'>form</a>"


@app.route("/form", methods=["GET", "POST"])
def form():
    if request.method == "POST":
        session["name"] = request.form["name"]
        return redirect(url_for("whoami"))
    return "<form method=post><input name=name></form>"


@app.get("/whoami")
def whoami():
    return jsonify(name=session.get("name"), scheme=request.scheme, host=request.host)


@app.post("/upload")
def upload():
    file = request.files["file"]
    return jsonify(name=file.filename, size=len(file.read()), note=request.form["note"])


@app.post("/raw")
def raw():
    return jsonify(size=len(request.get_data()), length=request.content_length)


@app.get("/stream")
def stream():
    return Response((f"line {number}\n" for number in range(1000)), mimetype="text/plain")


@app.get("/teapot")
def teapot():
    abort(418)


@app.get("/broken")
def broken():
    raise RuntimeError("reason: the view is broken")
