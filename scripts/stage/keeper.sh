#!/bin/sh
# Runs a command and ends it, with all that it started, when our standard input ends: the parent holds the other end of
# that pipe, so no child outlives it, not even one that was killed with SIGKILL. Started in a process group of its own.
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
# A SIGTERM to the group is meant for the command; we see it out.
trap : TERM
(
  trap '' TERM
  cat <&3 >/dev/null
  kill -KILL 0
) &
while kill -0 "$child" 2>/dev/null; do
  wait "$child"
done
kill -KILL 0
