#!/usr/bin/env bash
# The main job, shown: installs and builds, mints a demo PKI, starts gatehouse, applies a configuration, lets clients in
# and keeps others out, takes a certificate authority away while its client is connected, and prints every decision.
#
#   deploy/quickstart.sh            shows everything, then stops what it started
#   deploy/quickstart.sh --keep     leaves gatehouse running, and says how to use and stop it
#   deploy/quickstart.sh --stop     stops what --keep left
#
# Everything lives in build/quickstart. A second run takes seconds. Exit code 0: everything went as it should.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
keep=0
dir=$root/build/quickstart
port=${GATEHOUSE_QUICKSTART_PORT:-8443}

stop_running() {
  [ -f "$dir/pid" ] || return 0
  local pid
  pid=$(cat "$dir/pid")
  if kill -0 "$pid" 2>/dev/null && grep -q gatehouse "/proc/$pid/comm" 2>/dev/null; then
    kill "$pid"
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  fi
  rm -f "$dir/pid"
}
for arg in "$@"; do
  case "$arg" in
    --keep) keep=1 ;;
    --stop) stop_running; echo "stopped"; exit 0 ;;
    -h|--help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "quickstart.sh: unknown option $arg (known: --keep, --stop)" >&2; exit 2 ;;
  esac
done

if [ -t 1 ]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' off=$'\e[0m'; else bold='' green='' red='' dim='' off=''; fi
begin=$SECONDS
step() { printf '\n%s== %s%s  %s(%d s)%s\n' "$bold" "$*" "$off" "$dim" "$((SECONDS - begin))" "$off"; }
die() { printf '%serror:%s %s\n' "$red" "$off" "$*" >&2; exit 1; }

step "packages"
deploy/install-deps.sh --run || die "packages could not be installed"

step "build (release)"
mkdir -p build "$dir"
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
cmake --preset release -DGATEHOUSE_TESTS=OFF >build/release.configure.log 2>&1 || { cat build/release.configure.log; die "configure failed"; }
if [ -t 1 ]; then
  NINJA_STATUS='[%f/%t, %es] ' cmake --build --preset release --target gatehouse gatehouse-gateway gatehousectl || die "build failed"
else
  NINJA_STATUS='[%f/%t, %es] ' cmake --build --preset release --target gatehouse gatehouse-gateway gatehousectl >build/release.build.log 2>&1 &
  build=$!
  last=
  while kill -0 $build 2>/dev/null; do
    sleep 1
    now=$(grep -oE '^\[[0-9]+/[0-9]+, [0-9.]+s\]' build/release.build.log | tail -n 1)
    case $((SECONDS % 15)) in 0) [ "$now" != "$last" ] && echo "   $now" && last=$now ;; esac
  done
  wait $build || { tail -n 60 build/release.build.log; die "build failed; the whole log is build/release.build.log"; }
  tail -n 1 build/release.build.log
fi
bin=$root/build/release/bin
export PATH=$bin:$PATH

step "demo PKI (gatehousectl cert new)"
stop_running
rm -rf "$dir"
mkdir -p "$dir/pki"
cd "$dir/pki"
new() { gatehousectl cert new "$@" >>../cert.log 2>&1 || { tail -n 5 ../cert.log; die "cert new $*"; }; }
printf 'test' >pfx-password
new ca           --subject "CN=Partners Root" --out partners-ca.pem --key-out partners-ca.key
new leaf         --ca partners-ca.pem --ca-key partners-ca.key --subject "CN=test-client,O=Example" --eku client --out client.pem --key-out client.key \
                 --pfx client.pfx --pfx-password-file pfx-password
new self-signed  --subject "CN=device-7" --eku client --out device.pem --key-out device.key
new self-signed  --subject "CN=stranger" --eku client --out stranger.pem --key-out stranger.key
new self-signed  --subject "CN=localhost" --san dns:localhost --san ip:127.0.0.1 --eku server --out server.pem --key-out server.key
ls *.pem *.pfx | sed 's/^/   /'
cd "$root"

step "start gatehouse (control plane and gateway in one process)"
control=unix:$dir/state/run/control.sock
gatehouse --state-dir "$dir/state" >"$dir/gatehouse.out" 2>"$dir/gatehouse.log" &
pid=$!
echo $pid >"$dir/pid"
watcher=
cleanup() {
  [ -n "$watcher" ] && kill "$watcher" 2>/dev/null
  [ $keep -eq 1 ] || stop_running
}
trap cleanup EXIT
trap '' PIPE  # the gateway may hang up while we write to it
for _ in $(seq 100); do
  grep -q ready "$dir/gatehouse.out" && break
  kill -0 $pid 2>/dev/null || { cat "$dir/gatehouse.log"; die "gatehouse did not start"; }
  sleep 0.1
done
sed 's/^/   /' "$dir/gatehouse.out"
ctl() { gatehousectl --server "$control" "$@"; }

step "apply the demo configuration (deploy/demo/quickstart.yaml)"
sed -e "s|@PORT@|$port|" -e "s|@PKI@|$dir/pki|" deploy/demo/quickstart.yaml >"$dir/demo.yaml"
ctl apply -f "$dir/demo.yaml" || die "the configuration was refused"
printf 'correct horse battery staple' | ctl user add staff alice --password-stdin || die "user add"

gatehousectl --server "$control" events watch >"$dir/events.log" 2>"$dir/events.err" &
watcher=$!
for _ in $(seq 100); do grep -qs watching "$dir/events.err" && break; sleep 0.05; done
grep -qs watching "$dir/events.err" || die "the event stream did not open: $(cat "$dir/events.err")"

failures=0
total=0
url=https://localhost:$port
# check WANT "what" curl-arguments...: WANT is a status code, or 000 for a connection that must fail.
check() {
  local want=$1 what=$2 got
  shift 2
  got=$(curl -s -o "$dir/body" -w '%{http_code}' --cacert "$dir/pki/server.pem" --max-time 10 "$@" 2>/dev/null)
  total=$((total + 1))
  if [ "$got" = "$want" ]; then
    printf '   %sok%s    %s  %s\n' "$green" "$off" "$got" "$what"
  else
    printf '   %sWRONG%s %s instead of %s  %s\n' "$red" "$off" "$got" "$want" "$what"
    failures=$((failures + 1))
  fi
}
client=(--cert "$dir/pki/client.pem" --key "$dir/pki/client.key")
device=(--cert "$dir/pki/device.pem" --key "$dir/pki/device.key")
stranger=(--cert "$dir/pki/stranger.pem" --key "$dir/pki/stranger.key")

step "requests"
check 200 "a client with a certificate of the CA gets in (PEM, HTTP/2)" "${client[@]}" --http2 $url/secure/hello
printf '%s' "$dim"; jq . "$dir/body" | sed 's/^/         /' | head -n 9; printf '%s' "$off"
check 200 "the same with the PFX file and HTTP/1.1" --cert-type P12 --cert "$dir/pki/client.pfx:test" --http1.1 $url/secure/hello
check 401 "without a certificate nobody gets in" $url/secure/hello
check 200 "a self-signed certificate that is pinned gets in" "${device[@]}" $url/secure/hello
check 401 "a self-signed certificate that is not pinned stays out" "${stranger[@]}" $url/secure/hello
check 200 "Basic with the right password" -u 'alice:correct horse battery staple' $url/basic/hello
check 401 "Basic with a wrong password" -u alice:guess $url/basic/hello
check 200 "any-auth, by password" -u 'alice:correct horse battery staple' $url/any-auth
check 200 "any-auth, by certificate" "${client[@]}" $url/any-auth
check 401 "any-auth, with nothing" $url/any-auth
check 403 "authenticated, but the policy says no" -u 'alice:correct horse battery staple' $url/partners-only
check 405 "a method that the route does not have" -X DELETE "${client[@]}" $url/secure/hello

step "the CA is taken away while its client is connected"
exec 7>&-
mkfifo "$dir/to-client"
openssl s_client -quiet -connect localhost:$port -servername localhost -CAfile "$dir/pki/server.pem" \
  -cert "$dir/pki/client.pem" -key "$dir/pki/client.key" <"$dir/to-client" >"$dir/from-client" 2>/dev/null &
held=$!
exec 7>"$dir/to-client"
printf 'GET /secure/hello HTTP/1.1\r\nHost: localhost\r\n\r\n' >&7
for _ in $(seq 50); do grep -q 'thumbprint' "$dir/from-client" 2>/dev/null && break; sleep 0.1; done
printf '   the held connection: %s\n' "$(head -n 1 "$dir/from-client" | tr -d '\r')"
ctl trust-store remove-cert partners "$dir/pki/partners-ca.pem" || die "remove-cert"
printf 'GET /secure/hello HTTP/1.1\r\nHost: localhost\r\n\r\n' >&7 2>/dev/null
total=$((total + 1))
for _ in $(seq 20); do kill -0 $held 2>/dev/null || break; sleep 0.1; done
if [ "$(grep -ac 'HTTP/1.1 200' "$dir/from-client")" -eq 1 ]; then
  if kill -0 $held 2>/dev/null; then how="answered $(grep -a 'HTTP/1.1 4' "$dir/from-client" | head -n 1 | tr -d '\r')"; else how="closed by the gateway"; fi
  printf '   %sok%s         the held connection was %s\n' "$green" "$off" "$how"
else
  printf '   %sWRONG%s      the held connection still gets answers\n' "$red" "$off"
  failures=$((failures + 1))
fi
exec 7>&-
kill $held 2>/dev/null
check 401 "the same client on a new connection stays out" "${client[@]}" $url/secure/hello
check 200 "the pinned one, which did not depend on the CA, is still in" "${device[@]}" $url/secure/hello
ctl trust-store add-cert partners --as anchor "$dir/pki/partners-ca.pem" || die "add-cert"
check 200 "the CA is back, and so is its client" "${client[@]}" $url/secure/hello

step "the event stream (gatehousectl events watch)"
sleep 0.5
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
watcher=
jq -r 'select(.type=="DECISION" or .type=="TRUST" or .type=="CONFIG") |
  [(.time|.[11:23]), .outcome, (.reason // "-"), (.request.method // .type), (.request.path // .detail // "-"), (.principal // .certificate.subject // "-")] | @tsv' \
  "$dir/events.log" | awk -F'\t' '{ printf "   %s  %-8s %-16s %-6s %-16s %s\n", $1, $2, $3, $4, $5, $6 }'
events=$(grep -c . "$dir/events.log")

step "summary"
echo "   $((total - failures)) of $total as they should be; $events events in build/quickstart/events.log"
echo "   configuration: build/quickstart/demo.yaml   log: build/quickstart/gatehouse.log"
if [ $keep -eq 1 ]; then
  echo "   still running: $url, control API $control"
  echo "   try:  $bin/gatehousectl --server $control events watch"
  echo "         curl --cacert build/quickstart/pki/server.pem --cert build/quickstart/pki/client.pem --key build/quickstart/pki/client.key $url/secure/hello"
  echo "   stop: deploy/quickstart.sh --stop"
else
  echo "   run it again with --keep to leave it running"
fi
[ $failures -eq 0 ]
