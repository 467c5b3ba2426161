"""Sends the requests that the model judges: HTTP/1.1 by http.client, HTTP/2 by python3-h2, each on a connection of its own."""
import http.client
import itertools
import socket
import ssl
import threading

import h2.connection
import h2.events


class Client:
    """Without SNI, and each request from another loopback address: failures are counted by user and address."""

    def __init__(self, ports, folder):
        self.ports, self.folder = ports, folder
        self.contexts, self.lock = {}, threading.Lock()
        self.addresses = (f"127.{1 + n // 60000 % 200}.{n // 250 % 240}.{1 + n % 250}" for n in itertools.count(1))

    def prepare(self, request):
        """Says where the request comes from."""
        with self.lock:
            request.address = next(self.addresses)

    def context(self, chain, protocol, keep):
        key = (protocol, *(c.name for c in chain))
        with self.lock:
            if key in self.contexts:
                return self.contexts[key]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols([protocol])
        if chain:
            path = self.folder / f"{'-'.join(key[1:])}.pem"
            path.write_text("".join(c.pem for c in chain) + chain[0].key_pem)
            context.load_cert_chain(path)
        if keep:
            with self.lock:
                self.contexts[key] = context
        return context

    def send(self, request, keep=True):
        """(status, headers with get and get_all, body)."""
        context = self.context(request.certificates, request.protocol, keep)
        raw = socket.create_connection(("127.0.0.1", self.ports[request.listener]), timeout=20, source_address=(request.address, 0))
        with context.wrap_socket(raw) as sock:
            assert sock.selected_alpn_protocol() == request.protocol
            return self.over_h2(sock, request) if request.protocol == "h2" else self.over_http1(sock, request)

    @staticmethod
    def over_http1(sock, request):
        connection = http.client.HTTPConnection("unused")
        connection.sock = sock
        connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", request.host)
        if request.authorization is not None:
            connection.putheader("Authorization", request.authorization)
        if request.method in ("POST", "PUT", "PATCH", "DELETE"):
            connection.putheader("Content-Length", "0")
        connection.endheaders()
        response = connection.getresponse()
        return response.status, response.headers, response.read()

    @staticmethod
    def over_h2(sock, request):
        connection = h2.connection.H2Connection()
        connection.initiate_connection()
        fields = [(":method", request.method), (":scheme", "https"), (":authority", request.host), (":path", request.path)]
        if request.authorization is not None:
            fields.append(("authorization", request.authorization))
        connection.send_headers(1, fields, end_stream=True)
        sock.sendall(connection.data_to_send())
        status, headers, body = None, http.client.HTTPMessage(), b""
        while True:
            data = sock.recv(65536)
            if not data:
                raise ConnectionError("closed before the answer was complete")
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    for name, value in event.headers:
                        name, value = (x.decode() if isinstance(x, bytes) else x for x in (name, value))
                        if name == ":status":
                            status = int(value)
                        else:
                            headers[name] = value
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.StreamReset):
                    raise ConnectionError(f"stream reset with {event.error_code}")
                elif isinstance(event, h2.events.StreamEnded):
                    return status, headers, body
            sock.sendall(connection.data_to_send())
