"""The servers that are compared: how each is configured and started, and what it can do.

Every server gets core 0, one worker, TLS 1.3, and requires a client certificate of the bench PKI. These paths answer:
  /        200 "ok\\n" from the server itself
  /p       from the upstream, told the client's subject in X-Client-Subject
  /echo    the same; the upstream answers with the request that it got
  /large   from the upstream, 8 MiB
  /basic   200 "ok\\n" after HTTP Basic with a bcrypt hash of cost 10
"""
import base64
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

SERVER_CORE = 0
LOAD_CORE = 1
USER = "u"
PASSWORD = "secret123"
BCRYPT = "$2y$10$gkDJkcG1mf74N6qzelMgduF8ip3Y3i9a/4.lbjEY2gIUpZcCDCApG"  # of PASSWORD
DIRECT = ("h1-direct", "h2-direct")
PROXIED = ("h1-proxied", "h2-proxied")
HANDSHAKES = ("full-handshake", "resumed-handshake")
IDLE = ("idle-memory-h1", "idle-memory-h2")
BASIC = ("h2-basic-bcrypt",)
LARGE = ("h2-download", "h1-download", "h1-upload")


class Failure(Exception):
    """What ends the run, or a row, with a message for the user."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


def family(pid):
    """The process and all its descendants."""
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += family(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


class Server:
    """One server process with its directory. Subclasses say how it is configured."""

    name = ""
    program = ""
    rows = HANDSHAKES + DIRECT + PROXIED + BASIC + LARGE + IDLE
    client_certificate = True
    tells_subject = True
    close_first = False  # the client closes after the answer, because the server waits for that

    def __init__(self, bench):
        self.bench = bench
        self.directory = bench.build / self.name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def static_port(self):
        """Where / is answered; some servers want a port for each job."""
        return self.port

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def start(self):
        self.launch(self.command())
        for port in {self.port, self.static_port()}:
            self.wait_for(lambda p=port: listens(p), f"does not listen on port {port}")

    def launch(self, command):
        log = open(self.directory / "out.log", "ab")
        self.process = subprocess.Popen(["taskset", "-c", str(SERVER_CORE), *map(str, command)], stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, env={**os.environ, **self.environment()},
                                        start_new_session=True)
        log.close()

    def wait_for(self, condition, complaint, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended at its start; see {self.directory}/out.log")
            if condition():
                return
            time.sleep(0.05)
        raise Failure(f"{self.name} {complaint}; see {self.directory}/out.log")

    def pids(self):
        return family(self.process.pid)

    def processes(self):
        """All that may take time from another server's measurement."""
        return self.pids()

    def pause(self):
        self._kill(self.processes(), signal.SIGSTOP)

    def resume(self):
        self._kill(self.processes(), signal.SIGCONT)

    def stop(self):
        if self.process is None:
            return
        everybody = family(self.process.pid)
        self._kill(everybody, signal.SIGTERM)
        end = time.monotonic() + 5
        while time.monotonic() < end and self.process.poll() is None:
            time.sleep(0.05)
        self._kill([p for p in everybody if p == self.process.pid or self._is_ours(p)], signal.SIGKILL)
        self.process.wait()
        self.process = None

    def _is_ours(self, pid):
        """A process number may have gone to somebody else; the session still tells whose it is."""
        try:
            return os.getsid(pid) == self.process.pid
        except ProcessLookupError:
            return False

    @staticmethod
    def _kill(pids, what):
        for pid in pids:
            try:
                os.kill(pid, what)
            except ProcessLookupError:
                pass


class Nginx(Server):
    name = "nginx"
    program = "nginx"
    session = ""  # as it comes: stateless tickets

    def command(self):
        d, pki = self.directory, self.bench.pki
        (d / "htpasswd").write_text(f"{USER}:{BCRYPT}\n")
        proxy = """proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Client-Subject $ssl_client_s_dn;"""
        temporary = "".join(f"{kind}_temp_path {d}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root; " if os.geteuid() == 0 else ""
        conf = self.write("nginx.conf", f"""
{user}worker_processes 1; daemon off; pid {d}/pid; error_log {d}/error.log crit; worker_rlimit_nofile 20000;
events {{ worker_connections 16000; }}
http {{
  access_log off; server_tokens off; default_type text/plain; {temporary}
  keepalive_timeout 600s; keepalive_requests 1000000000;
  upstream upstream {{ server 127.0.0.1:{self.bench.upstream_port}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 600s; }}
  server {{
    listen 127.0.0.1:{self.port} ssl http2 backlog=4096; server_name localhost; ssl_protocols TLSv1.3;
    ssl_certificate {pki}/server.pem; ssl_certificate_key {pki}/server.key;
    ssl_client_certificate {pki}/root.pem; ssl_verify_client on; ssl_verify_depth 3; {self.session}
    location = / {{ return 200 "ok\\n"; }}
    location = /basic {{ auth_basic "bench"; auth_basic_user_file {d}/htpasswd; empty_gif; }}
    location = /large {{ {proxy} client_max_body_size 0; proxy_max_temp_file_size 0; proxy_request_buffering off; }}
    location / {{ {proxy} }}
  }}
}}
""")
        return ["nginx", "-p", d, "-c", conf]


class NginxTuned(Nginx):
    """Sessions in a cache instead of stateless tickets, which saves nginx a quarter of a handshake."""

    name = "nginx-tuned"
    session = "ssl_session_tickets off; ssl_session_cache shared:bench:50m; ssl_session_timeout 1h;"


class Haproxy(Server):
    name = "haproxy"
    program = "haproxy"

    def command(self):
        pki = self.bench.pki
        conf = self.write("haproxy.cfg", f"""
global
  nbthread 1
  maxconn 9000
  ssl-default-bind-options ssl-min-ver TLSv1.3
userlist users
  user {USER} password {BCRYPT}
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  timeout http-request 600s
frontend edge
  bind 127.0.0.1:{self.port} backlog 4096 ssl crt {pki}/server-all.pem ca-file {pki}/root.pem verify required alpn h2,http/1.1
  http-request auth if {{ path /basic }} !{{ http_auth(users) }}
  http-request return status 200 content-type text/plain string "ok\\n" if !{{ path /p /echo /large }}
  http-request set-header X-Client-Subject %[ssl_c_s_dn]
  default_backend upstream
backend upstream
  http-reuse always
  server one 127.0.0.1:{self.bench.upstream_port}
""")
        return ["haproxy", "-W", "-f", conf]


class Nghttpx(Server):
    """Debian's has no mruby: it cannot tell the upstream who the client is, and has no Basic."""

    name = "nghttpx"
    program = "nghttpx"
    rows = HANDSHAKES + DIRECT + PROXIED + LARGE + IDLE
    tells_subject = False
    close_first = True

    def __init__(self, bench):
        super().__init__(bench)
        self.health_port = free_port()

    def static_port(self):
        return self.health_port  # its built-in answer stands on a frontend of its own

    def command(self):
        pki = self.bench.pki
        conf = self.write("nghttpx.conf", f"""frontend=127.0.0.1,{self.port}
frontend=127.0.0.1,{self.health_port};healthmon
backend=127.0.0.1,{self.bench.upstream_port}
private-key-file={pki}/server.key
certificate-file={pki}/server.pem
verify-client=yes
verify-client-cacert={pki}/root.pem
workers=1
tls-min-proto-version=TLSv1.3
tls-max-proto-version=TLSv1.3
errorlog-file={self.directory}/error.log
log-level=ERROR
frontend-http2-read-timeout=600s
frontend-keep-alive-timeout=600s
frontend-read-timeout=600s
worker-frontend-connections=0
backend-connections-per-frontend=0
backlog=4096
rlimit-nofile=20000
no-ocsp=yes
""")
        return ["nghttpx", f"--conf={conf}"]


class H2o(Server):
    """Debian's 2.2 cannot verify client certificates: it is compared where a request is all that is measured."""

    name = "h2o"
    program = "h2o"
    rows = DIRECT + PROXIED + LARGE
    client_certificate = False
    tells_subject = False

    def command(self):
        (self.directory / "www").mkdir(exist_ok=True)
        (self.directory / "www" / "index.html").write_text("ok\n")
        pki = self.bench.pki
        user = "user: root\n" if os.geteuid() == 0 else ""
        conf = self.write("h2o.conf", f"""{user}num-threads: 1
max-connections: 16000
http1-request-timeout: 600
http2-idle-timeout: 600
tcp-fastopen: 0
listen:
  host: 127.0.0.1
  port: {self.port}
  ssl:
    certificate-file: {pki}/server.pem
    key-file: {pki}/server.key
    minimum-version: TLSv1.2
    ocsp-update-interval: 0
hosts:
  default:
    paths:
      "/":
        file.dir: {self.directory}/www
      "/p":
        proxy.reverse.url: "http://127.0.0.1:{self.bench.upstream_port}/p"
        proxy.timeout.keepalive: 600000
      "/large":
        proxy.reverse.url: "http://127.0.0.1:{self.bench.upstream_port}/large"
        proxy.timeout.keepalive: 600000
""")
        return ["h2o", "-m", "worker", "-c", conf]


class Caddy(Server):
    name = "caddy"
    program = "caddy"

    def environment(self):
        home = str(self.directory)
        return {"GOMAXPROCS": "1", "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}

    def command(self):
        pki = self.bench.pki
        root = "".join(line for line in (pki / "root.pem").read_text().splitlines() if not line.startswith("-----"))
        account = {"username": USER, "password": base64.b64encode(BCRYPT.encode()).decode()}
        ok = {"handler": "static_response", "status_code": 200, "body": "ok\n"}
        basic = {"handler": "authentication", "providers": {"http_basic": {"accounts": [account], "hash": {"algorithm": "bcrypt"}}}}
        proxy = {"handler": "reverse_proxy", "upstreams": [{"dial": f"127.0.0.1:{self.bench.upstream_port}"}],
                 "transport": {"protocol": "http", "keep_alive": {"enabled": True, "max_idle_conns": 512,
                                                                  "max_idle_conns_per_host": 512, "idle_timeout": "600s"}},
                 "headers": {"request": {"set": {"X-Client-Subject": ["{http.request.tls.client.subject}"]}}}}
        server = {"listen": [f"127.0.0.1:{self.port}"], "protocols": ["h1", "h2"], "idle_timeout": "600s",
                  "automatic_https": {"disable": True},
                  "routes": [{"match": [{"path": ["/basic"]}], "handle": [basic, ok], "terminal": True},
                             {"match": [{"path": ["/p", "/echo", "/large"]}], "handle": [proxy], "terminal": True},
                             {"handle": [ok]}],
                  "tls_connection_policies": [{"protocol_min": "tls1.3", "client_authentication": {
                      "trusted_ca_certs": [root], "mode": "require_and_verify"}}]}
        conf = self.write("caddy.json", json.dumps({
            "admin": {"disabled": True}, "logging": {"logs": {"default": {"level": "ERROR"}}},
            "apps": {"http": {"servers": {"bench": server}},
                     "tls": {"certificates": {"load_files": [{"certificate": f"{pki}/server.pem", "key": f"{pki}/server.key"}]}}}}))
        return ["caddy", "run", "--config", conf]


PEERS = {peer.name: peer for peer in (Nginx, NginxTuned, Haproxy, Nghttpx, H2o, Caddy)}
