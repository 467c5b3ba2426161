#!/usr/bin/env bash
# Builds the Go example with Debian's packages alone: client/examples/go/build.sh OUTPUT
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
proto=$here/../../../proto
output=$(realpath -m "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GO111MODULE=off GOPATH=$work:/usr/share/gocode GOFLAGS=-p=2 GOCACHE=${GOCACHE:-$HOME/.cache/go-build}

# The protos name no Go package: one is given here.
mapping=()
for file in "$proto"/gatehouse/v1/*.proto; do
  mapping+=("--go_opt=Mgatehouse/v1/$(basename "$file")=gatehouse/v1")
done
mkdir -p "$work/bin" "$work/src/example"
go build -o "$work/bin/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
protoc -I "$proto" --plugin="$work/bin/protoc-gen-go" --go_out="$work/src" "${mapping[@]}" "$proto"/gatehouse/v1/*.proto
cp "$here/main.go" "$work/src/example/"
cd "$work/src/example"
go build -o "$output" .
