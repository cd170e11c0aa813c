#!/bin/sh
# An alert of a script or a cron job becomes a task of Agent Relay. Needs a POSIX shell and curl; --help says the rest.

set -eu
LC_ALL=C # bytes are bytes
export LC_ALL
me=ops-alert

usage() {
  cat <<'END'
ops-alert.sh --key KEY --severity SEVERITY --title TITLE [options]
ops-alert.sh --key KEY --resolved [options]

Tells Agent Relay that something is wrong, or that it is over.

  --key KEY            what tells this alert from others: the same key again is counted, not announced a second time
  --severity SEVERITY  info, warning, error or critical
  --title TITLE        one line, e.g. "Disk full on web1"
  --body TEXT          the rest; - reads it from stdin
  --target TARGET      who gets it: an agent id, tag:x, cap:x, label:x or broadcast (the integration's only one)
  --channel CHANNEL    (the integration's only one)
  --url LINK           where to look: http:// or https://
  --type TYPE          what kind of thing it is (ops.alert)
  --resolved           it is over: its task is closed
  -h, --help           this text

Environment: AGENT_RELAY_INTEGRATION_TOKEN or AGENT_RELAY_INTEGRATION_TOKEN_FILE, and AGENT_RELAY_URL
(http://127.0.0.1:4850). Exit status: 0 done; 1 the relay cannot be reached or refused it; 2 wrong use, nothing sent.
END
}

# -- the same in every .sh of this folder ------------------------------------------------------------------------------

# A variable that came with the environment would be handed on to every command.
unset event json answer token

# One line on stderr, whatever is in it.
complain() {
  printf '%s: %s\n' "$me" "$(printf '%s' "$1" | tr -s '[:space:]' ' ' | tr -d '[:cntrl:]')" >&2
}

wrong() {
  complain "$1"
  exit 2
}

failed() {
  complain "$1"
  exit 1
}

# A value as a complaint may show it.
shown() {
  printf '%s' "$1" | tr -c '[:print:]' '?' | cut -c 1-60
}

# quoted NAME MOST: stdin as a JSON text of at most so many characters. Goes byte by byte and writes ASCII only, so that
# neither locale nor kind of awk matters, and what is not UTF-8 is noticed here.
quoted() {
  od -An -v -tu1 | awk -v most="$2" '
    function take(byte) {
      if (more > 0) {
        if (byte < low || byte > high) { status = 4; exit }
        code = code * 64 + byte - 128; low = 128; high = 191; more--
      }
      else if (byte < 128) { code = byte }
      else if (byte >= 194 && byte <= 223) { more = 1; code = byte - 192; low = 128; high = 191 }
      else if (byte >= 224 && byte <= 239) {
        more = 2; code = byte - 224; low = (byte == 224 ? 160 : 128); high = (byte == 237 ? 159 : 191)
      }
      else if (byte >= 240 && byte <= 244) {
        more = 3; code = byte - 240; low = (byte == 240 ? 144 : 128); high = (byte == 244 ? 143 : 191)
      }
      else { status = 4; exit }
      if (more > 0) return
      if (code == 0) { status = 5; exit }
      if (++count > most) { status = 6; exit }
      if (code == 34 || code == 92) printf "\\%c", code
      else if (code >= 32 && code < 127) printf "%c", code
      else if (code < 65536) printf "\\u%04x", code
      else { code -= 65536; printf "\\u%04x\\u%04x", 55296 + int(code / 1024), 56320 + code % 1024 }
    }
    BEGIN { printf "\"" }
    { for (i = 1; i <= NF; i++) take($i + 0) }
    END {
      if (!status && more > 0) status = 4
      if (!status && count == 0) status = 3
      if (status) exit status
      print "\""
    }
  ' || case $? in
    3) wrong "$1 must not be empty" ;;
    4) wrong "$1 must be UTF-8 text" ;;
    5) wrong "$1 must not hold a NUL character: take it out" ;;
    6) wrong "$1 must be at most $2 characters: shorten it" ;;
    *) wrong "$1 cannot be read" ;;
  esac
}

# member KEY JSON: one more member of the event.
member() {
  event="${event:-}${event:+,}\"$1\":$2"
}

# text OPTION KEY MOST VALUE: one more member that is a text.
text() {
  json=$(printf '%s' "$4" | quoted "$1" "$3") || exit
  member "$2" "$json"
}

# text_or_stdin OPTION KEY MOST VALUE: the same, with - for stdin.
text_or_stdin() {
  if [ "$4" = - ]; then
    json=$(quoted "$1 (from stdin)" "$3") || exit
    member "$2" "$json"
  else
    text "$@"
  fi
}

# link OPTION KEY VALUE: one more member that is a link, as far as the relay takes such.
link() {
  case $3 in
    http://?* | https://?*) ;;
    *) wrong "$1 must be an http:// or https:// address" ;;
  esac
  case $3 in
    *[!!-~]* | *[\<\>\"\'\`\\^\{\}\|]*)
      wrong "$1 must have spaces, quotes and other special characters percent-encoded"
      ;;
  esac
  authority=${3#*://}
  case ${authority%%[/?#]*} in
    *@*) wrong "$1 must not hold a user name or password: it would be shown to everyone" ;;
  esac
  text "$1" "$2" 2048 "$3"
}

# What the environment says: token and relay.
settle() {
  command -v curl >/dev/null || failed "curl is not installed"
  token=${AGENT_RELAY_INTEGRATION_TOKEN:-}
  name=AGENT_RELAY_INTEGRATION_TOKEN
  if [ -n "${AGENT_RELAY_INTEGRATION_TOKEN_FILE:-}" ]; then
    [ -z "$token" ] || wrong "$name and ${name}_FILE are both set: set one of them"
    name=${name}_FILE
    token=$({ tr -d '\000\r' <"$AGENT_RELAY_INTEGRATION_TOKEN_FILE"; } 2>/dev/null) ||
      wrong "$name: cannot read $(shown "$AGENT_RELAY_INTEGRATION_TOKEN_FILE")"
    [ -n "$token" ] || wrong "$name: the file is empty"
  fi
  [ -n "$token" ] || wrong "$name is not set: give it the token that 'agent-relay integrations add' shows"
  case $token in
    *[!!-~]*) wrong "$name must be visible ASCII characters without spaces" ;;
  esac
  # curl and its kin need it no more, and what a process has in its environment others of the same user can read.
  unset AGENT_RELAY_INTEGRATION_TOKEN

  relay=${AGENT_RELAY_URL:-http://127.0.0.1:4850}
  relay=${relay%/}
  host=${relay#*://}
  case $relay in
    http://?* | https://?*) ;;
    *) host=/ ;;
  esac
  case $host in
    *[!][A-Za-z0-9.:_-]*) wrong "AGENT_RELAY_URL must be http://host:port or https://host:port" ;;
    # A proxy has no way to this machine's own loopback, and must not see the token.
    127.* | localhost | localhost:* | '[::1]'*) no_proxy='*' && export no_proxy ;;
  esac
}

# One call. Token and event go through file descriptors: arguments are for everyone on this machine to see.
call() {
  curl --disable --silent --show-error --include --globoff --proto '=http,https' \
    --connect-timeout 5 --max-time 15 --write-out '\nstatus:%{http_code}\n' \
    --header @/dev/fd/3 --header 'Content-Type: application/json' --header 'Expect:' --data-binary @- \
    "$relay/api/integrations/events" 2>&1 3<<TOKEN <<EVENT
Authorization: Bearer $token
TOKEN
{$event}
EVENT
}

# Send the event, and say in one line what became of it. Sent twice it is counted twice, and makes no second task.
send() {
  settle
  [ "${#event}" -le 1048000 ] || wrong "the event is larger than 1 MiB: shorten --body"
  attempt=1
  while :; do
    fault=0
    answer=$(call) || fault=$?
    status=$(printf '%s\n' "$answer" | sed -n 's/^status:\([0-9]*\)$/\1/p' | tail -n 1)
    pause=
    case $fault:$status in
      0:429 | 0:5??)
        pause=$(printf '%s\n' "$answer" |
          sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9]\{1,5\}\)[[:space:]]*$/\1/p' | tail -n 1)
        pause=${pause:-$attempt}
        ;;
      # No such host, refused, too slow, empty answer, broken off: it may pass.
      6:* | 7:* | 28:* | 52:* | 55:* | 56:*) pause=$attempt ;;
    esac
    [ -n "$pause" ] && [ "$attempt" -lt 3 ] && [ "$pause" -le 60 ] || break
    sleep "$pause"
    attempt=$((attempt + 1))
  done

  if [ "$fault" -ne 0 ]; then
    said=$(printf '%s\n' "$answer" | sed -n 's/^curl: ([0-9]*) //p' | tail -n 1)
    failed "no answer from the relay at $relay: ${said:-curl failed with $fault}"
  fi
  # The relay's JSON is one line. Its keys come before any of the sender's; quotes in texts are escaped.
  answer=$(printf '%s\n' "$answer" | sed -n '/^{/p' | tail -n 1)
  case $status in
    200 | 201)
      said=$(printf '%s\n' "$answer" | awk '
        !/^[{]"created":(true|false),"deduped":(true|false),"task":/ { exit }
        match($0, /"task":([{]"id":[0-9]+|null)/) {
          id = substr($0, RSTART + 7, RLENGTH - 7)
          sub(/.*:/, "", id)
          times = $0
          sub(/.*"occurrenceCount":/, "", times)
          if (id == "null") print "nothing to resolve"
          else if (/^[{]"created":true/) print "task " id " created"
          else if (/^[{]"created":false,"deduped":true/) print "task " id " counted (" (times + 0) " times now)"
          else print "task " id " resolved"
        }')
      [ -n "$said" ] || failed "what answers at $relay is not a relay"
      printf '%s\n' "$said"
      ;;
    *)
      said=$(printf '%s\n' "$answer" | awk '
        match($0, /"detail": ?"([^"\\]|\\.)*"/) {
          detail = substr($0, RSTART, RLENGTH - 1)
          sub(/^[^:]*: ?"/, "", detail)
          gsub(/\\[nrt]/, " ", detail)
          gsub(/\\"/, "\"", detail)
          print detail
        }')
      failed "the relay at $relay refused it ($status): ${said:-it does not say why}"
      ;;
  esac
}

# ----------------------------------------------------------------------------------------------------------------------

unset key severity title body target channel url
type=ops.alert
status=open
while [ $# -gt 0 ]; do
  option=$1
  shift
  case $option in
    --?*=*)
      set -- "${option#*=}" "$@"
      option=${option%%=*}
      ;;
  esac
  case $option in
    -h | --help)
      usage
      exit 0
      ;;
    --resolved)
      status=resolved
      continue
      ;;
    --key | --severity | --title | --body | --target | --channel | --url | --type)
      [ $# -gt 0 ] || wrong "$option needs a value; see --help"
      ;;
    *) wrong "unknown option: $(shown "$option"); see --help" ;;
  esac
  case $option in
    --key) key=$1 ;;
    --severity) severity=$1 ;;
    --title) title=$1 ;;
    --body) body=$1 ;;
    --target) target=$1 ;;
    --channel) channel=$1 ;;
    --url) url=$1 ;;
    --type) type=$1 ;;
  esac
  shift
done

[ -n "${key+given}" ] || wrong "--key is missing: what tells this alert from others; see --help"
if [ "$status" = open ]; then
  [ -n "${severity+given}" ] || wrong "--severity is missing: info, warning, error or critical"
  [ -n "${title+given}" ] || wrong "--title is missing"
fi
case ${severity-info} in
  info | warning | error | critical) ;;
  *) wrong "--severity must be info, warning, error or critical, not $(shown "$severity")" ;;
esac

event=
member status "\"$status\""
text --key dedupeKey 256 "$key"
text --type type 128 "$type"
[ -z "${severity+given}" ] || member severity "\"$severity\""
[ -z "${title+given}" ] || text --title title 1000 "$title"
[ -z "${target+given}" ] || text --target target 160 "$target"
[ -z "${channel+given}" ] || text --channel channel 128 "$channel"
[ -z "${url+given}" ] || link --url externalUrl "$url"
[ -z "${body+given}" ] || text_or_stdin --body body 1000000 "$body"
send
