#!/bin/sh
# Tell coord's monitor what a session of Claude Code does:
#
#   notify-monitor.sh [--detach] EVENT < JSON
#
# EVENT is a hook's event, as Claude Code writes it or with dashes (Stop, session-start). Standard input is the
# JSON that Claude Code gives to a hook; without any, the session's id, the event, the folder and the time are
# sent. --detach: do not wait until it is sent. It prints nothing and leaves with 0 whatever happens; it takes
# 2 seconds at most.
#
#   CLAUDE_MONITOR_URL         where the monitor is (http://127.0.0.1:5050)
#   CLAUDE_MONITOR_TOKEN_FILE  the file with the token by which hooks report, where one is needed

detach=
[ "${1:-}" = --detach ] && { detach=yes; shift; }
event=${1:-}
case $event in '' | *[!A-Za-z-]*) exit 0 ;; esac
command -v curl >/dev/null 2>&1 || exit 0
exec 2>/dev/null

# A text as JSON has it, without the quotes. (The dot saves line ends at the text's end.)
escaped() {
  if command -v iconv >/dev/null; then
    printf '%s.' "$1" | iconv -c -f UTF-8 -t UTF-8
  else
    printf '%s.' "$1" | LC_ALL=C tr '\200-\377' '?'
  fi | LC_ALL=C awk '
    BEGIN { for (i = 1; i < 32; i++) code[sprintf("%c", i)] = i }
    {
      if (NR > 1) text = text "\\n"
      for (i = 1; i <= length($0); i++) {
        c = substr($0, i, 1)
        if (c == "\\" || c == "\"") c = "\\" c
        else if (c in code) c = sprintf("\\u%04x", code[c])
        text = text c
      }
    }
    END { printf "%s", substr(text, 1, length(text) - 1) }'
}

# Whose process it is, as coord names processes (Linux), so that the session is known by it.
sender() {
  pid=${CLAUDE_PID:-}
  case $pid in '' | *[!0-9]*) return ;; esac
  boot=$(tr -d - </proc/sys/kernel/random/boot_id | cut -c1-12)
  namespace=$(readlink /proc/self/ns/pid | tr -cd 0-9)
  start=$(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20)
  [ -n "$boot" ] && [ -n "$namespace" ] && [ -n "$start" ] || return
  printf '{"pid":%s,"process":"%s-%s-%s-%s","host":"%s"}' \
    "$pid" "$boot" "$namespace" "$pid" "$start" "$(uname -n | cut -d. -f1)"
}

body=
if [ ! -t 0 ]; then
  # (Whoever gives it an input that does not end is not kept waiting for ever.)
  if command -v timeout >/dev/null; then body=$(timeout 2 cat); else body=$(cat); fi
fi
case $body in
  '{'*'}')
    case $event in SessionStart | session-start) said=$(sender) ;; *) said= ;; esac
    [ -n "$said" ] && [ "$body" != '{}' ] && body="${body%\}},\"coord\":$said}"
    ;;
  *)
    session=$(escaped "${CLAUDE_CODE_SESSION_ID:-pid-${CLAUDE_PID:-$PPID}}")
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    body="{\"session_id\":\"$session\",\"event\":\"$event\",\"cwd\":\"$(escaped "$PWD")\",\"timestamp\":\"$now\"}"
    ;;
esac
route=$(printf '%s' "$event" | sed 's/\([a-z]\)\([A-Z]\)/\1-\2/g' | tr '[:upper:]' '[:lower:]')
url=${CLAUDE_MONITOR_URL:-http://127.0.0.1:5050}
header=
if [ -n "${CLAUDE_MONITOR_TOKEN_FILE:-}" ]; then
  token=$(tr -cd '[:graph:]' <"$CLAUDE_MONITOR_TOKEN_FILE" | sed 's/[\\"]/\\&/g')
  header="header = \"Authorization: Bearer $token\""
fi

send() {
  # The token goes by a file descriptor: a command line is everybody's to read.
  printf '%s' "$body" | curl -q --silent --output /dev/null --connect-timeout 1 --max-time 2 \
    --header 'Content-Type: application/json' --data-binary @- --config /dev/fd/3 "${url%/}/hook/$route" 3<<END
$header
END
}

exec </dev/null >/dev/null
if [ -n "$detach" ]; then send & else send; fi
exit 0
