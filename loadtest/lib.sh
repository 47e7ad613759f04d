# shellcheck shell=bash
# Functions shared by the load tests: they build, start and stop a server on each store. Sourced, never run.
# The settings are those of production, on a free port of the loopback interface.

# shellcheck source=scripts/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

work=$(mktemp -d) || exit
server=''
# shellcheck disable=SC2317,SC2329 # called by the trap
clean_up() {
    trap '' INT TERM HUP
    [ -z "$server" ] || kill -9 "$server" 2>/dev/null
    [ ! -e "$work/postgres" ] || scripts/postgres stop "$work/postgres" || scripts/postgres kill "$work/postgres"
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
# If this runs as root, PostgreSQL runs as another user, and must reach its folder below this one.
chmod 711 "$work"

# It signs the tokens of this run.
secret=$(head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n')

# need_binary PROFILE: sets $bin, the binary to test: TASKLANE_BIN, or a new build with this profile.
need_binary() {
    bin=${TASKLANE_BIN:-$(cargo build --profile "$1" --locked --bin tasklane --message-format=json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*\/tasklane\)".*/\1/p')}
    [ -x "$bin" ] || fail "there is no build of the profile $1"
}

# token USER: prints a token, made by the command that operators use.
token() { ENVIRONMENT=production BETTER_AUTH_SECRET=$secret "$bin" token --user "$1" --ttl 10m || fail "no token was made"; }

# store_url sqlite|postgres: a fresh store.
store_url() {
    case $1 in
        sqlite) printf 'sqlite://%s/%s.db\n' "$work" "$RANDOM$RANDOM" ;;
        postgres) scripts/postgres start "$work/postgres" ;;
        *) fail "no store named $1: sqlite or postgres" ;;
    esac
}

# start_server STORE: sets $server (process id), $address (http://…) and $log.
start_server() {
    local url
    url=$(store_url "$1") || exit
    log=$work/$1.log
    : >"$log"
    # From a folder without .env.
    (
        cd "$work" || exit
        exec env HOST=127.0.0.1 PORT=0 ENVIRONMENT=production DATABASE_URL="$url" BETTER_AUTH_SECRET="$secret" "$bin" serve
    ) >"$log" 2>&1 &
    server=$!
    for _ in {1..600}; do
        address=$(sed -n '/"message":"listening"/s/.*"address":"\(http:\/\/\)\{0,1\}\([^"]*\)".*/http:\/\/\2/p' "$log" | head -n 1)
        [ -z "$address" ] || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    fail "the server did not start on $1: $(tail -n 20 "$log")"
}

# Stops the server as a process manager does, then the store. Fails if the server does not end with 0.
stop_server() {
    local status=0
    kill -TERM "$server"
    wait "$server" || status=$?
    server=''
    if [ -e "$work/postgres" ]; then
        scripts/postgres stop "$work/postgres"
        rm -rf "$work/postgres"
    fi
    [ "$status" -eq 0 ] || say "the server ended with status $status: $(tail -n 5 "$log")"
    return "$status"
}

# k6 without usage reports, and with a free control port, so that two may run at once.
k6() {
    K6_NO_USAGE_REPORT=true "$(scripts/tool k6)" run --quiet --no-color --address 127.0.0.1:0 "$@"
}
