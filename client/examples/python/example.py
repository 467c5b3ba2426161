#!/usr/bin/python3
"""A client of Gatehouse's control plane in Python: lists routes, applies a trust store, watches events.

    example.py --server unix:/run/gatehouse/control.sock routes
    example.py --server unix:/run/gatehouse/control.sock trust partners ca.pem
    example.py --server gatehouse.example:7000 --ca ca.pem --cert ann.pem --key ann.key watch 5

README.md beside this tells how the stubs are made.
"""
import argparse
import sys

import grpc

# Made from the protos with protoc; see README.md.
from gatehouse.v1 import config_service_pb2 as config
from gatehouse.v1 import config_service_pb2_grpc as config_grpc
from gatehouse.v1 import config_set_pb2 as resources
from gatehouse.v1 import event_pb2 as events
from gatehouse.v1 import event_service_pb2 as event_service
from gatehouse.v1 import event_service_pb2_grpc as event_service_grpc
from gatehouse.v1 import reason_pb2 as reasons
from gatehouse.v1 import trust_store_pb2 as trust_stores

DEADLINE = 30  # seconds
MIB = 1024 * 1024


def read(path):
    with open(path, "rb") as file:
        return file.read()


def connect(arguments):
    # An Apply of very many resources tells each change in one answer.
    options = [("grpc.max_receive_message_length", 144 * MIB)]
    if arguments.server.startswith("unix:"):
        # The kernel tells the server who calls at its socket: there is no TLS.
        return grpc.insecure_channel(arguments.server, options)
    credentials = grpc.ssl_channel_credentials(read(arguments.ca), read(arguments.key), read(arguments.cert))
    return grpc.secure_channel(arguments.server, credentials, options)


def routes(channel):
    stub = config_grpc.ConfigServiceStub(channel)
    token = ""
    while True:
        page = stub.List(config.ListRequest(kind=resources.ROUTE, page_token=token), timeout=DEADLINE, wait_for_ready=True)
        for resource in page.resources:
            # !a: text that others wrote, and no terminal should act upon it.
            print(f"{resource.route.name!a}  {resource.route.match.path!a}")
        token = page.next_page_token
        if not token:
            return


def apply_trust(channel, name, path):
    """All or nothing; returns once every connected gateway has it in force."""
    pem = read(path).decode()
    if "BEGIN CERTIFICATE" not in pem or "PRIVATE KEY" in pem:
        sys.exit(f"{path}: certificates in PEM are expected, and no key")
    store = trust_stores.TrustStore(name=name, anchors=[trust_stores.Pem(pem=pem)])
    request = config.ApplyRequest(
        options=config.ApplyOptions(messages=1, message="from the Python example", wait=config.WaitOptions(wait=True)),
        resources=resources.ConfigSet(trust_stores=[store]))
    answer = config_grpc.ConfigServiceStub(channel).Apply(iter([request]), timeout=DEADLINE + 10, wait_for_ready=True)
    print(f"revision {answer.revision}, {len(answer.changes)} changes, in force on {answer.force.in_force} of {answer.force.gateways} gateways")


def watch(channel, count):
    stream = event_service_grpc.EventServiceStub(channel).Watch(event_service.WatchRequest(), wait_for_ready=True)
    stream.initial_metadata()  # comes once the server has subscribed us: events from then on are not missed
    print("watching", flush=True)
    for batch in stream:
        for event in batch.events:
            print(events.Event.Type.Name(event.type), events.Event.Outcome.Name(event.outcome), reasons.Reason.Name(event.reason),
                  f"{event.detail!a}", flush=True)
            count -= 1
            if count <= 0:
                stream.cancel()
                return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True, help="unix:/path or host:port")
    for file in ("--ca", "--cert", "--key"):
        parser.add_argument(file, help="PEM, for host:port")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("routes")
    trust = commands.add_parser("trust")
    trust.add_argument("name")
    trust.add_argument("file")
    commands.add_parser("watch").add_argument("count", type=int)
    arguments = parser.parse_args()
    with connect(arguments) as channel:
        try:
            if arguments.command == "routes":
                routes(channel)
            elif arguments.command == "trust":
                apply_trust(channel, arguments.name, arguments.file)
            else:
                watch(channel, arguments.count)
        except grpc.RpcError as error:
            sys.exit(f"error: {error.code().name}: {error.details()!a}")


if __name__ == "__main__":
    main()
