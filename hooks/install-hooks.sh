#!/bin/sh
# Write hooks into Claude Code's settings that tell coord's monitor what each session does:
#
#   install-hooks.sh [--project | --file PATH] [--url URL] [--uninstall] [--print]
#
# They call notify-monitor.sh, which is expected beside this script and is copied beside the settings. Without
# options it is your own settings file (~/.claude/settings.json); --project: that of this folder. --url: where
# the monitor is, unless CLAUDE_MONITOR_URL of a session says otherwise. What is there stays, and a changed file
# is kept beside itself. jq or python3 is needed; without either the hooks are printed for you to add.
# Exit codes: 0 done, 1 nothing was changed because of what it says, 2 wrong options.
set -u

# Events that the client waits for (the script leaves at once), and those that it does not wait for.
WAITS='Stop StopFailure SessionEnd'
EVENTS="SessionStart UserPromptSubmit PreToolUse PermissionRequest PermissionDenied PostToolUse
  PostToolUseFailure Notification SubagentStart SubagentStop $WAITS PreCompact PostCompact PostModelSwitch
  CwdChanged Elicitation ElicitationResult"
MARK='notify-monitor.sh'

here=$(cd "$(dirname "$0")" && pwd) || exit 1
folder=${CLAUDE_CONFIG_DIR:-$HOME/.claude} file='' project='' url='' action=install

fail() { printf '%s\n' "install-hooks: $1" >&2; exit "${2:-1}"; }

while [ $# -gt 0 ]; do
  case $1 in
    --project) project=yes ;;
    --file) [ $# -gt 1 ] || fail '--file needs a path' 2; file=$2; shift ;;
    --url) [ $# -gt 1 ] || fail '--url needs an address' 2; url=$2; shift ;;
    --uninstall) action=uninstall ;;
    --print) action=print ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0"; exit 0 ;;
    *) fail "$1 is no option of it: --project, --file PATH, --url URL, --uninstall, --print" 2 ;;
  esac
  shift
done
[ -n "$project" ] && [ -n "$file" ] && fail '--project and --file exclude each other' 2
case $url in *[!A-Za-z0-9:/._~%@[\]-]*) fail "$url is no address" 2 ;; esac
[ -n "$project" ] && folder=$PWD/.claude
[ -n "$file" ] && folder=$(cd "$(dirname "$file")" 2>/dev/null && pwd)
[ -n "$folder" ] || fail "the folder of $file is not there"
if [ -n "$file" ]; then file=$folder/$(basename "$file"); else file=$folder/settings.json; fi
script=$folder/hooks/notify-monitor.sh

# A word as sh reads it, then as JSON has it.
quoted() { printf '%s' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"; }
json() { printf '%s' "$1" | sed 's/\\/\\\\/g; s/"/\\"/g'; }

if [ -n "$project" ]; then place="\"\$CLAUDE_PROJECT_DIR\"/.claude/hooks/notify-monitor.sh"; else place=$(quoted "$script"); fi
case $script in *"
"*) fail 'the folder has a line break in its name' ;; esac

# All hooks as JSON.
hooks() {
  at=
  # shellcheck disable=SC2089 # it is written into JSON, not run
  [ -n "$url" ] && at="CLAUDE_MONITOR_URL=\"\${CLAUDE_MONITOR_URL:-$url}\" "
  printf '{'
  comma=
  for event in $EVENTS; do
    command="[ -f $place ] || exit 0; ${at}sh $place --detach $event"
    case " $WAITS " in *" $event "*) background= ;; *) background=', "async": true' ;; esac
    printf '%s\n  "%s": [{"hooks": [{"type": "command", "command": "%s", "timeout": 5%s}]}]' \
      "$comma" "$event" "$(json "$command")" "$background"
    comma=,
  done
  printf '\n}\n'
}

if [ "$action" = print ]; then
  printf '{"hooks": '
  hooks
  printf '}\n'
  exit 0
fi

# Both programs read the settings on standard input, get the hooks to add and the mark of ours as arguments, and
# print what the settings are to be. A group, a list or an object that is empty without ours goes with them.
# shellcheck disable=SC2016
JQ='
def ours: type == "object" and ((.command? // "") | type == "string" and contains($mark) and contains(" --detach "));
if type != "object" or ((.hooks // {}) | type) != "object" then error("no settings") else . end
| if .hooks == null then . else .hooks |= with_entries(
    if (.value | type) == "array" and any(.value[]; type == "object" and (.hooks | type) == "array" and any(.hooks[]; ours))
    then .value |= map(
      if type == "object" and (.hooks | type) == "array" and any(.hooks[]; ours)
      then .hooks |= map(select(ours | not)) | select(.hooks != []) else . end)
    | select(.value != []) else . end) end
| if ($new == {}) and (.hooks == {}) then del(.hooks) else . end
| reduce ($new | to_entries[]) as $each (.;
    if ((.hooks[$each.key] // []) | type) != "array" then error("no settings") else . end
    | .hooks[$each.key] = ((.hooks[$each.key] // []) + $each.value))'
PYTHON='
import json, sys
value, new, mark = json.loads(sys.stdin.buffer.read().decode("utf-8-sig")), json.loads(sys.argv[1]), sys.argv[2]
hooks = {} if value.get("hooks") is None else value["hooks"]
def ours(each):
    return isinstance(each, dict) and isinstance(each.get("command"), str) and mark in each["command"] and " --detach " in each["command"]
def has(group):
    return isinstance(group, dict) and isinstance(group.get("hooks"), list) and any(map(ours, group["hooks"]))
for event, groups in list(hooks.items()):
    if not isinstance(groups, list) or not any(map(has, groups)):
        continue
    for group in filter(has, groups):
        group["hooks"] = [each for each in group["hooks"] if not ours(each)]
    hooks[event] = [group for group in groups if not isinstance(group, dict) or group.get("hooks") != []]
    if not hooks[event]:
        del hooks[event]
for event, groups in new.items():
    hooks[event] = hooks.get(event, []) + groups
if hooks or new:
    value["hooks"] = hooks
else:
    value.pop("hooks", None)
json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
print()'

wanted='{}'
if [ "$action" = install ]; then
  [ -f "$here/notify-monitor.sh" ] || fail "notify-monitor.sh is not beside this script ($here)"
  wanted=$(hooks)
fi
if command -v python3 >/dev/null 2>&1; then
  merge() { PYTHONIOENCODING=utf-8 python3 -I -c "$PYTHON" "$wanted" "$MARK"; }
elif command -v jq >/dev/null 2>&1; then
  merge() { jq --argjson new "$wanted" --arg mark "$MARK" "$JQ"; }
elif [ "$action" = install ]; then
  printf '%s\n' "Neither jq nor python3 is here to change $file." \
    "Copy notify-monitor.sh to $script and add these to that file's \"hooks\":" >&2
  hooks
  exit 1
else
  fail "neither jq nor python3 is here: take what runs notify-monitor.sh out of $file yourself"
fi

if [ ! -e "$file" ]; then
  [ "$action" = uninstall ] && { echo "There is no $file; nothing was changed."; exit 0; }
  mkdir -p "$folder" || fail "$folder cannot be made"
  before='{}'
else
  before=$(cat "$file") || fail "$file cannot be read"
  [ -n "$before" ] || before='{}'
fi
after=$(printf '%s\n' "$before" | merge 2>/dev/null) || after=
[ -n "$after" ] ||
  fail "$file is not valid JSON, or not what a settings file looks like: correct it first; nothing was changed"
same() { [ "$(printf '%s\n' "$1" | normal)" = "$(printf '%s\n' "$2" | normal)" ]; }
normal() { wanted='{}' MARK='(nothing)' merge 2>/dev/null; }

if [ "$action" = install ]; then
  mkdir -p "$folder/hooks" || fail "$folder/hooks cannot be made"
  if [ "$here/notify-monitor.sh" != "$script" ] && ! cmp -s "$here/notify-monitor.sh" "$script"; then
    if ! { cp "$here/notify-monitor.sh" "$script.new" && chmod 755 "$script.new" && mv -f "$script.new" "$script"; }; then
      fail "$script cannot be written"
    fi
  fi
fi
if same "$before" "$after"; then
  if [ "$action" = install ]; then said='are in it already'; else said='are not in it'; fi
  echo "The monitor's hooks $said; $file was not changed."
  exit 0
fi
# A link stays a link: what it points to is replaced, whole.
target=$file
if [ -L "$file" ]; then target=$(readlink -f "$file") || fail "the link $file leads nowhere"; fi
new=$target.new.$$
if [ -e "$target" ]; then
  backup=$target.before-$(date +%Y%m%dT%H%M%S)
  if ! { cp -p "$target" "$backup" && cp -p "$target" "$new"; }; then
    fail "$backup cannot be written; nothing was changed"
  fi
  echo "What was there before is kept in $backup."
fi
if ! printf '%s\n' "$after" >"$new" || ! mv -f "$new" "$target"; then
  rm -f "$new"
  fail "$target cannot be written; it is as it was"
fi
if [ "$action" = install ]; then
  echo "The monitor's hooks are installed in $file; they report to ${url:-http://127.0.0.1:5050}."
else
  if [ "$here" != "$folder/hooks" ] && ! grep -qsF "$MARK" "$folder"/settings*.json; then
    rm -f "$script"
    rmdir "$folder/hooks" 2>/dev/null
  fi
  echo "The monitor's hooks are out of $file."
fi
