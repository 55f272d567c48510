#!/usr/bin/env bash
# A worker's Stop hook in bash, jq and redis-cli, as well as these can do it: one jq to read, one EVALSHA by
# redis-cli, one jq to write. It does less than coord's hook: no confirmation, no unpacking of the task's
# payload (zlib), no wait, no keeper.
set -euo pipefail

# Which worker: boot, pid namespace, pid and start time name the session's process; no process is started.
read -r boot </proc/sys/kernel/random/boot_id
boot=${boot//-/} boot=${boot:0:12}
read -r stat <"/proc/$CLAUDE_PID/stat"
stat=${stat##*) }
read -ra fields <<<"$stat"
namespace=$BENCH_NAMESPACE # `readlink` would be a process more
session="$COORD_HOME/sessions/$boot-$namespace-$CLAUDE_PID-${fields[19]}/session.json"
[ -r "$session" ] || exit 0

IFS=$'\t' read -r event agent worker epoch < <(
  jq -r --slurpfile me "$session" \
    '[.hook_event_name, .agent_id // "-", $me[0].worker, $me[0].epoch] | @tsv'
)
[ "$event" = Stop ] && [ "$agent" = - ] || exit 0

random=$(printf '%04x%04x%04x%04x' $RANDOM $RANDOM $RANDOM $RANDOM)
{
  read -r verdict && read -r _ticket && read -r task && read -r token && read -r _queue
  [ "$verdict" = task ] || exit 0
} < <(redis-cli -p "$BENCH_PORT" EVALSHA "$BENCH_CLAIM_SHA" 0 "$worker" "$epoch" new "$random" 5)

jq -cn --arg claim "$task.$token" --arg task "$task" '{
  decision: "block", reason: "Task \($task) is yours.",
  hookSpecificOutput: {hookEventName: "Stop",
    additionalContext: "Show it: coord-worker context \($claim)\nWhen done: coord-worker complete \($claim) --result \"...\""}
}'
