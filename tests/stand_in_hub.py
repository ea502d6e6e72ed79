"""A small Hub on loopback: the endpoints that publishing and pulling a model call, with faults on demand.

`with StandInHub() as hub:` serves at `hub.url`. Repositories are in `hub.repos`, requests in `hub.requests`;
`hub.fail("POST", "/commit/", status=503, times=2)` spoils requests to come. It is a double for what the client library
sends and reads, not for the policy of the real Hub.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

TOKENS = {  # token: (account, role)
    "hf_user": ("user", "write"),
    "hf_reader": ("user", "read"),
    "hf_stranger": ("stranger", "write"),
}


@dataclass
class Fault:
    """Spoils `times` requests whose method and path fit.

    With a `status` the request is refused. With `drop` the connection breaks in the middle of the request, with `lose`
    after it was done, without an answer. Before that `delay` seconds pass; `reached` is set when they begin.
    """

    method: str
    path: str
    times: int = 1
    status: int | None = None
    message: str = ""
    drop: bool = False
    lose: bool = False
    delay: float = 0.0
    reached: threading.Event = field(default_factory=threading.Event)


class Repo:
    """A branching history: `refs` names the head of each branch and pull request, "main" among them."""

    def __init__(self, private):
        self.private = private
        self.commits, self.refs, self.proposals = {}, {}, []
        self.commit("main", None, "initial commit", {".gitattributes": b"*.safetensors filter=lfs\n"})

    def commit(self, ref, parent, title, files):
        oid = hashlib.sha1(f"{parent} {title} {sorted(files)} {len(self.commits)}".encode()).hexdigest()
        self.commits[oid] = SimpleNamespace(oid=oid, title=title, files=files)
        self.refs[ref] = oid
        return oid

    def at(self, revision):
        return self.commits.get(self.refs.get(revision, revision))

    @property
    def files(self):
        return self.at("main").files

    def history(self):
        return [commit.title for commit in self.commits.values()]


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status, message, code=None):
        self.status, self.message, self.code = status, message, code


class StandInHub:
    """Holds the state and the server; use it as a context."""

    def __init__(self):
        self.repos, self.large, self.requests, self.faults = {}, {}, [], []
        self.lock, self.closing = threading.RLock(), threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def fail(self, method, path, **how):
        self.faults.append(Fault(method, path, **how))
        return self.faults[-1]

    def take_fault(self, method, path):
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    fault.times -= 1
                    return fault
        return None

    def environment(self, home, token="hf_user"):
        """What a process needs to take this for the Hub; `home` is for its caches."""
        where = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_TOKEN": token}
        return where | {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}


ROUTES = []


def route(methods, pattern):
    """Register a method of `Handler`; `{id}` and `{rev}` stand for a repository and a revision."""
    pattern = pattern.replace("{id}", r"(?P<repo_id>[^/]+/[^/]+)").replace("{rev}", r"(?P<revision>[^/]+)")

    def register(function):
        ROUTES.extend((method, re.compile(pattern), function) for method in methods.split())
        return function

    return register


class Handler(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    hub: StandInHub

    def log_message(self, *_):
        pass

    def handle_request(self):
        path = urlsplit(self.path).path
        self.hub.requests.append((self.command, unquote(path)))
        fault = self.hub.take_fault(self.command, path)
        if fault and fault.drop:
            self.close_connection = True  # In the middle of the request: its body is not read.
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault and not fault.lose:
            self.wait(fault)
        answer = ({"error": fault.message}, fault.status) if fault and fault.status else self.dispatch(path, body)
        if fault and fault.lose:
            self.wait(fault)
            self.close_connection = True
        else:
            self.answer(*answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_request

    def wait(self, fault):
        fault.reached.set()
        self.hub.closing.wait(fault.delay)

    def dispatch(self, path, body):
        self.query = parse_qs(urlsplit(self.path).query)
        try:
            for method, pattern, function in ROUTES:
                if method == self.command and (match := pattern.fullmatch(path)):
                    with self.hub.lock:
                        parts = {key: unquote(value) for key, value in match.groupdict("").items()}
                        answer = function(self, body, **parts)
                    return answer if isinstance(answer, tuple) else (answer,)
            raise Refusal(404, f"no such endpoint: {self.command} {path}")
        except Refusal as refusal:
            code = {"X-Error-Code": refusal.code} if refusal.code else {}
            return {"error": refusal.message}, refusal.status, {"X-Error-Message": refusal.message} | code

    def answer(self, content, status=200, headers=()):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = {"Content-Length": len(data), "Content-Type": "application/json"} | dict(headers)
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
        except OSError:  # The client was killed.
            self.close_connection = True

    # Who asks, and what for

    @property
    def account(self):
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in TOKENS:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return TOKENS.get(token, (None, None))

    def repo(self, repo_id):
        repo = self.hub.repos.get(repo_id)
        if repo is None or (repo.private and not repo_id.startswith(f"{self.account[0]}/")):
            raise Refusal(404 if self.account[0] else 401, "Repository not found", "RepoNotFound")
        return repo

    def commit_at(self, repo_id, revision):
        commit = self.repo(repo_id).at(revision)
        if commit is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def may_write(self, repo_id):
        (name, role), namespace = self.account, repo_id.partition("/")[0]
        if name is None:
            raise Refusal(401, "Invalid username or password.")
        if name != namespace or role != "write":
            raise Refusal(403, f"You don't have the rights to write under the namespace {namespace}.")

    def entry(self, path, content):
        """A file as the tree shows it; a large one is a git-lfs pointer."""
        if not is_large(path):
            return {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
        sha256 = hashlib.sha256(content).hexdigest()
        lfs = {"oid": sha256, "size": len(content), "pointerSize": 134}
        return {"type": "file", "path": path, "size": len(content), "oid": git_hash(sha256.encode()), "lfs": lfs}

    # Account and repositories

    @route("GET", "/api/whoami-v2")
    def whoami(self, _):
        name, role = self.account
        if name is None:
            raise Refusal(401, "Invalid username or password.")
        return {"type": "user", "name": name, "orgs": [], "auth": {"accessToken": {"role": role}}}

    @route("POST", "/api/validate-yaml")
    def validate_yaml(self, body):
        content = json.loads(body)["content"]
        if "license: unheard-of" in content:
            return {"errors": [{"message": '"license" must be one of ...'}], "warnings": []}, 400
        return {"errors": [], "warnings": []}

    @route("POST", "/api/repos/create")
    def create(self, body):
        asked = json.loads(body)
        namespace = asked.get("organization") or self.account[0]
        repo_id = f"{namespace}/{asked['name']}"
        self.may_write(repo_id)
        url = f"{self.hub.url}/{repo_id}"
        if repo_id in self.hub.repos:
            return {"error": "You already created this model repo", "url": url}, 409
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.repos[repo_id] = Repo(private)
        return {"url": url, "name": repo_id, "id": repo_id}

    @route("GET", "/api/models/{id}")
    @route("GET", "/api/models/{id}/revision/{rev}")
    def info(self, _, repo_id, revision="main"):
        commit, repo = self.commit_at(repo_id, revision), self.repo(repo_id)
        siblings = [{"rfilename": path} for path in commit.files]
        return {"id": repo_id, "modelId": repo_id, "sha": commit.oid, "private": repo.private, "siblings": siblings}

    @route("GET", "/api/models/{id}/auth-check(?P<write>/write)?")
    def auth_check(self, _, repo_id, write=""):
        self.repo(repo_id)
        self.may_write(repo_id)
        return {}

    @route("POST", "/api/models/{id}/branch/{rev}")
    def create_branch(self, body, repo_id, revision):
        repo = self.repo(repo_id)
        self.may_write(repo_id)
        if revision in repo.refs:
            raise Refusal(409, "Reference already exists")
        repo.refs[revision] = self.commit_at(repo_id, json.loads(body).get("startingPoint") or "main").oid
        return {}

    @route("GET", "/api/models/{id}/discussions")
    def discussions(self, _, repo_id):
        author = self.query.get("author", [None])[0]
        found = [each for each in self.repo(repo_id).proposals if author in (None, each["author"]["name"])]
        return {"discussions": found, "count": len(found), "start": 0}

    # Files, from the Hub

    @route("GET", "/api/models/{id}/tree/{rev}(?P<under>/.+)?")
    def tree(self, _, repo_id, revision, under=""):
        files = self.commit_at(repo_id, revision).files
        inside = {path: data for path, data in files.items() if not under or f"/{path}".startswith(f"{under}/")}
        if under and not inside:
            raise Refusal(404, f"{under} does not exist", "EntryNotFound")
        return [self.entry(path, data) for path, data in sorted(inside.items())]

    @route("HEAD GET", "/{id}/resolve/{rev}/(?P<path>.+)")
    def resolve(self, _, repo_id, revision, path):
        commit = self.commit_at(repo_id, revision)
        if path not in commit.files:
            return {"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit.oid}
        content, entry = commit.files[path], self.entry(path, commit.files[path])
        etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if "lfs" in entry:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": entry["size"]}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, end = int(wanted[1]), int(wanted[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            return content[start : end + 1], 206, headers
        return content, 200, headers

    # Files, to the Hub

    @route("POST", "/api/models/{id}/preupload/{rev}")
    def preupload(self, body, repo_id, revision):
        if "create_pr" not in self.query:
            self.may_write(repo_id)
        present = self.commit_at(repo_id, revision).files
        files = []
        for path in (file["path"] for file in json.loads(body)["files"]):
            files.append({"path": path, "uploadMode": "lfs" if is_large(path) else "regular", "shouldIgnore": False})
            if path in present:
                entry = self.entry(path, present[path])
                files[-1]["oid"] = entry.get("lfs", entry)["oid"]
        return {"files": files}

    @route("POST", r"/{id}\.git/info/lfs/objects/batch")
    def batch(self, body, repo_id):
        self.repo(repo_id)
        objects = []
        for each in json.loads(body)["objects"]:
            missing = each["oid"] not in self.hub.large
            href = f"{self.hub.url}/large/{each['oid']}"
            objects.append(each | ({"actions": {"upload": {"href": href}}} if missing else {}))
        return {"transfer": "basic", "objects": objects}

    @route("PUT", "/large/(?P<oid>[0-9a-f]{64})")
    def put(self, body, oid):
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refusal(400, "the content does not fit the hash")
        self.hub.large[oid] = body
        return {}

    @route("POST", "/api/models/{id}/commit/{rev}")
    def commit(self, body, repo_id, revision):
        propose, repo = "create_pr" in self.query, self.repo(repo_id)
        if not propose:
            self.may_write(repo_id)
        base = self.commit_at(repo_id, revision)
        header, *changes = map(json.loads, body.splitlines())
        if header["value"].get("parentCommit", base.oid) != base.oid:
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(base.files)
        for change in changes:
            key, value = change["key"], change["value"]
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.hub.large:
                    raise Refusal(404, f"{value['path']} points to a file that was not uploaded")
                files[value["path"]] = self.hub.large[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
            else:
                raise Refusal(400, f"{key} is not understood")
        number, title = len(repo.proposals) + 1, header["value"]["summary"]
        oid = repo.commit(f"refs/pr/{number}" if propose else revision, base.oid, title, files)
        answer = {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{repo_id}/commit/{oid}"}
        if propose:
            author = {"name": self.account[0]}
            about = {"num": number, "title": title, "status": "open", "isPullRequest": True, "author": author}
            about |= {"createdAt": "2026-01-01T00:00:00.000Z", "repo": {"name": repo_id, "type": "model"}}
            repo.proposals.append(about)
            answer["pullRequestUrl"] = f"{self.hub.url}/{repo_id}/discussions/{number}"
        return answer


def is_large(path):
    return path.endswith((".safetensors", ".bin"))


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
