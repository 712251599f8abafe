#!/usr/bin/env bash
# Creates the registration entries that handfast and its workloads need. Safe to run again: an entry that is
# there already is left alone.
#
#   entries.sh -parentID ID -agentUID UID [-socketPath PATH] [PATH=UID …]
#
#   -parentID    the SPIFFE ID of the SPIRE agent (or its alias), such as spiffe://example.org/node1
#   -agentUID    the user that handfast runs as, used by nothing else
#   -socketPath  the SPIRE server's socket (default /run/spire/server/private/api.sock)
#   PATH=UID     a workload: worker=1003 becomes spiffe://example.org/worker for processes of user 1003
#
# By user and never by the path of a program: an entry by path gives its identity to whoever runs the program.
# SPIRE_SERVER names the spire-server program (default: the one on PATH).
set -euo pipefail

usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
  exit 2
}

server=${SPIRE_SERVER:-spire-server}
socket=/run/spire/server/private/api.sock
parent=
agent_uid=
while [ $# -gt 0 ]; do
  case $1 in
    -parentID) parent=${2:-}; shift 2 || usage ;;
    -agentUID) agent_uid=${2:-}; shift 2 || usage ;;
    -socketPath) socket=${2:-}; shift 2 || usage ;;
    -*) usage ;;
    *) break ;;
  esac
done
[[ $parent == spiffe://*/* && $agent_uid =~ ^[0-9]+$ ]] || usage
trust_domain=${parent#spiffe://}
trust_domain=${trust_domain%%/*}

# Makes the entry for path $1 and user $2.
entry() {
  local id="spiffe://$trust_domain/$1" selector="unix:uid:$2" found
  found=$("$server" entry show -socketPath "$socket" -spiffeID "$id" -selector "$selector")
  if [[ $found == *"$id"* ]]; then
    echo "there   $id  $selector"
    return
  fi
  "$server" entry create -socketPath "$socket" -parentID "$parent" -spiffeID "$id" \
    -selector "$selector" >/dev/null
  echo "created $id  $selector"
}

entry handfast/agent "$agent_uid"
for workload in "$@"; do
  [[ $workload =~ ^[A-Za-z0-9._/-]+=[0-9]+$ ]] || usage
  entry "${workload%%=*}" "${workload##*=}"
done
