#!/usr/bin/env bash
# Starts N processes of a command on this machine, which train as one: launch.sh -n N sgrpo train cfg.yaml [key=value ...]
# Every process gets every signal once. The exit code is that of the first process which failed for itself; 75 (stopped,
# goes on with the same command) also where a signal came before a process was ready for it.
set -uo pipefail
usage() { echo "usage: scripts/launch.sh -n N COMMAND [ARGUMENT ...]" >&2 && exit 2; }
[ "${1:-}" = -n ] && [[ "${2:-}" =~ ^[1-9][0-9]*$ ]] && [ $# -ge 3 ] || usage
n=$2
shift 2

free_port() { # one that nobody listens on now
  local port
  for _ in $(seq 100); do
    port=$((20000 + (RANDOM << 1 | RANDOM & 1) % 40000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
  done
}
export MASTER_ADDR=${MASTER_ADDR:-127.0.0.1} MASTER_PORT=${MASTER_PORT:-$(free_port)}
export WORLD_SIZE=$n LOCAL_WORLD_SIZE=$n
export SGRPO_RUN_TOKEN=${SGRPO_RUN_TOKEN:-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')}

pids=() stopped=
pass_on() {
  stopped=1
  for pid in "${pids[@]}"; do kill -s "$1" "$pid" 2>/dev/null; done
}
for signal in TERM INT HUP USR1 USR2; do trap "pass_on $signal" "$signal"; done
for ((rank = 0; rank < n; ++rank)); do
  # A group of its own: a terminal's Ctrl-C comes through pass_on alone, once.
  RANK=$rank LOCAL_RANK=$rank setsid "$@" &
  pids+=($!)
done

code=0
for pid in "${pids[@]}"; do
  while :; do
    wait "$pid"
    ended=$?
    kill -0 "$pid" 2>/dev/null || break # else a signal ended the wait, not the process
  done
  # A rank that a signal ended before it could listen is a stop; other ranks' codes say why the run ended.
  [ -n "$stopped" ] && [ "$ended" -gt 128 ] && ended=75
  [ "$code" -eq 0 ] || [ "$code" -eq 1 ] && [ "$ended" -ne 0 ] && code=$ended
done
exit "$code"
