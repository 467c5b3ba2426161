#!/usr/bin/python3
"""An example of a service that decides passwords for Gatehouse, in Python: it knows its users from a file.

README.md beside it says how to try it; main.cc is the same in C++. What a service of your own must do is in
proto/gatehouse/v1/credential_validator.proto.
"""
import argparse
import concurrent.futures
import hashlib
import hmac
import os
import re
import signal
import sys
import threading

import grpc

# Made from the protos with protoc; see README.md.
from gatehouse.v1 import credential_validator_pb2 as pb
from gatehouse.v1 import credential_validator_pb2_grpc as pb_grpc

SALT_BYTES, HASH_BYTES = 16, 32


def scrypt(password, salt):
    return hashlib.scrypt(password.encode(), salt=salt, n=16384, r=8, p=1, maxmem=64 << 20, dklen=HASH_BYTES)


def read_users(path):
    """{user: (salt, hash, roles)} of lines `user:salt:hash:role,role`; one wrong line is the end of it."""
    users = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if not re.fullmatch(r"[^:]+:[0-9a-f]{32}:[0-9a-f]{64}(:[^:]*)?", line):
                sys.exit(f"validator.py: {path}, line {number}: must be user:salt:hash:role,role")
            user, salt, digest, *roles = line.split(":")
            users[user] = (bytes.fromhex(salt), bytes.fromhex(digest), [r for r in ",".join(roles).split(",") if r])
    return users


def printable(text):
    """A name that a client chose must not write lines of its own into our log."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:80])


class Validator(pb_grpc.CredentialValidatorServicer):
    def __init__(self, users, lifetime):
        self.users = users
        self.lifetime = lifetime

    def Validate(self, request, context):
        response = self.answer(request.user, request.password)
        # The request id is also in the gateway's event. The password is in no log.
        print(pb.ValidateCredentialsResponse.Verdict.Name(response.verdict), printable(request.user),
              f"route={printable(request.request.route)} from={printable(request.request.client_address)}",
              f"request={printable(request.request.request_id)}", flush=True)
        return response

    def answer(self, user, password):
        # An unknown user takes as long as a known one.
        salt, digest, roles = self.users.get(user, (bytes(SALT_BYTES), None, []))
        given = scrypt(password, salt)
        if digest is None:
            return pb.ValidateCredentialsResponse(verdict=pb.ValidateCredentialsResponse.UNKNOWN_USER)
        if not hmac.compare_digest(given, digest):
            return pb.ValidateCredentialsResponse(verdict=pb.ValidateCredentialsResponse.WRONG_PASSWORD)
        response = pb.ValidateCredentialsResponse(verdict=pb.ValidateCredentialsResponse.ALLOW, user=user)
        for role in roles:
            response.claims.add(type="role", value=role)
        # So long the gateway need not ask again; so long a user who is taken out of the file stays in.
        response.lifetime.seconds = self.lifetime
        return response


def content(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--listen", default="127.0.0.1:9000")
    parser.add_argument("--users", help="file with a line a user")
    parser.add_argument("--lifetime", type=int, default=60, help="how long a gateway may remember a yes, in seconds")
    parser.add_argument("--ca", help="authority of the gateways' certificates, PEM; with --certificate and --key: mutual TLS")
    parser.add_argument("--certificate", help="our certificate, PEM")
    parser.add_argument("--key", help="its key, PEM")
    parser.add_argument("--add", metavar="USER", help="print a line for the users' file; the password comes from standard input")
    parser.add_argument("--roles", default="", help="with --add: claims of the type role, by commas")
    options = parser.parse_args()
    if options.add:
        salt = os.urandom(SALT_BYTES)
        password = sys.stdin.readline().rstrip("\n")
        print(f"{options.add}:{salt.hex()}:{scrypt(password, salt).hex()}:{options.roles}")
        return
    if not options.users:
        parser.error("--users FILE is required")
    if bool(options.certificate) != bool(options.ca) or bool(options.certificate) != bool(options.key):
        parser.error("--certificate, --key and --ca go together")

    # so_reuseport: nobody shares the port, and the passwords, with us.
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
    pb_grpc.add_CredentialValidatorServicer_to_server(Validator(read_users(options.users), options.lifetime), server)
    if options.certificate:
        # Only who has a certificate of `ca` may ask: whoever may ask may guess.
        credentials = grpc.ssl_server_credentials([(content(options.key), content(options.certificate))],
                                                  root_certificates=content(options.ca), require_client_auth=True)
        port = server.add_secure_port(options.listen, credentials)
    else:
        port = server.add_insecure_port(options.listen)  # for this machine alone
    if port == 0:
        sys.exit(f"validator.py: cannot listen on {options.listen}")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    print(f"listening on {options.listen} port {port}", flush=True)
    stop.wait()
    server.stop(grace=1).wait()


if __name__ == "__main__":
    main()
