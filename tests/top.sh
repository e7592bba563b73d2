#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# top.sh BUILD - seep top as a person sees it: in tmux, by what stands on the screen. Needs root.
# Ends with "N passed, N failed, N skipped".
set -u
build=$(cd "${1:?usage: tests/top.sh BUILD}" && pwd) || exit 1
here=$(cd "$(dirname "$0")" && pwd)
seep=$build/seep
passed=0 failed=0 pids=()

if [ "$(id -u)" != 0 ] || ! command -v tmux >/dev/null; then
	echo "skip: seep top needs root, its test tmux"
	echo "0 passed, 0 failed, 1 skipped"
	exit 77
fi
"$here/targets/build.sh" "$build/targets" || exit 1
dir=$(mktemp -d)
cd "$dir" || exit 1
export TMUX_TMPDIR=$dir
export LC_ALL=C.UTF-8
unset TMUX NO_COLOR

mux() { tmux -L top -f /dev/null "$@"; }
cleanup()
{
	mux kill-server 2>/dev/null
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ok NAME COMMAND...: counts, and shows the screen of $window when it fails.
ok()
{
	local name=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		return
	fi
	failed=$((failed + 1))
	echo "FAIL: $name"
	screen "$window" | sed 's/^/	| /'
}
not() { ! "$@"; }
shows_now() { screen "$window" | grep -qE -- "$1"; }

screen() { mux capture-pane -p -t "$1" 2>/dev/null; }
keys() { mux send-keys -t "$window" "$@"; }

# until_true COMMAND...: two minutes, as the machine may be busy and what loads the rows is nice.
until_true()
{
	for _ in $(seq 1200); do
		"$@" && return
		sleep 0.1
	done
	return 1
}
# shows PATTERN: waits until a line of the screen matches.
shows() { until_true shows_now "$1"; }
vanishes() { until_true not shows_now "$1"; }
# printed PATTERN: as shows, of all the window has printed since seep drew in it.
printed() { until_true printed_now "$1"; }
printed_now() { mux capture-pane -p -S - -t "$window" | grep -qE -- "$1"; }
# row N PATTERN: waits until that row of the ranking matches; it begins below its head.
row() { until_true row_now "$@"; }
row_now() { rows | sed -n "$1p" | grep -qE -- "$2"; }
rows() { screen "$window" | sed -n '/^ growth/,/^──\|^$/{/^ growth/d;/^──/d;/^$/d;p;}'; }

# A command on a terminal of its own, in a shell that says how it ended.
window_open() # NAME
{
	mux new-session -d -x 80 -y 24 -s "$1" \
		"env TERM=screen-256color PS1='prompt> ' bash --norc --noprofile"
}
window_run() { mux send-keys -t "$1" "stty -a >$1.before; $2; echo \"status \$?\"; stty -a >$1.after" Enter; }
# The terminal is as it was: no other screen, a cursor, the same settings.
window_clean()
{
	shows '^status [0-9]+' && shows "^prompt>$" &&
		[ "$(mux display -p -t "$window" '#{alternate_on}#{cursor_flag}')" = 01 ] &&
		cmp -s "$window.before" "$window.after"
}
target()
{
	"$build/targets/watched" &
	pids+=($!)
	target=$!
}
column() { sqlite3 -cmd '.timeout 5000' "$1" "$2" 2>/dev/null; }
complete() { [ "$(column "$1" 'select complete from recording')" = 1 ]; }
recorded() { "$seep" report --format folded "$1" 2>/dev/null | grep -q 'handle_login.*;leak_session'; }
process_ends() { until_true not kill -0 "$1" 2>/dev/null; }
pid_of() { cat "$1.pid"; }

# All at once: each needs a while to have something to show.
target_main='' target_killed=''
for name in main killed term crash hangup lost; do
	window_open $name
	target
	declare "target_$name=$target"
	options=
	[ $name = lost ] && options="--max-blocks 1009 --sample 1"
	[ $name = term ] && options="-i 1s"
	color=
	[ $name = killed ] && color="export NO_COLOR=1; "
	# what is written is the id of seep itself
	window_run $name "sh -c 'echo \$\$ >$name.pid; ${color}exec $seep top -p $target -o $name.seep $options'"
done

# ---- what stands there -----------------------------------------------------------------------------

window=main
ok "header" shows "^seep top  watched \(pid $target_main\) .* RSS [0-9.]+ MiB +live [0-9.]+ [KM]iB"
ok "the leak is first, with its verdict" row 1 '^ *\+[0-9.]+K .*/s .* 100% [▁▂▃▄▅▆▇█]{6} leak +mmap +leak_upload  watched\.c:'
ok "the other one is second" row 2 ' leak +malloc leak_session  watched\.c:'
ok "what holds nothing is no row" vanishes work_shortly # but for the moment between malloc and free
ok "rates" shows '^[0-9,]+ events/s  slowdown [0-9]+ %  malloc [0-9.]+ [KM]iB  mmap [0-9.]+ [KM]iB'
ok "no losses" not shows_now LOST
ok "stack of the first row" shows '^ c  main  .*watched\.c:'
ok "colour" sh -c "tmux -L top capture-pane -e -p -t main | grep -q '\[31m'"

# ---- keys ------------------------------------------------------------------------------------------

keys Down
ok "stack of the second row" shows '^ c  handle_login  .*watched\.c:'
ok "frames are counted" shows '── stack of row 2, frames 1 to [0-9]+ of [0-9]+ ─'
keys Enter
ok "stack hidden" vanishes '^── '
keys Enter
ok "stack shown again" shows '^ c  handle_login '
keys Up
keys s s s s
ok "sorted by blocks" shows ' sort blocks '
ok "most blocks are first" row 1 'leak_session'
keys '<'
ok "sorted by live bytes" shows ' sort live '
ok "most bytes are first" row 1 'leak_upload'
keys '<' '<' '<'
ok "back to the rank" shows ' sort rank '

keys c
ok "malloc alone" shows ' class malloc .* 1 of 2 rows'
ok "its row" row 1 'leak_session'
keys c
ok "Python has none" shows 'no row passes the filter'
keys c c
ok "all classes" shows ' class all .* 2 of 2 rows'

keys b
ok "by function" shows '^by function '
keys b b
ok "by file" shows '^by file '
ok "rows are files" row 1 '100% .*/targets/watched\.c *$'
ok "a stack for a group" shows '^ c  leak_upload '
keys b
ok "by site" shows '^by site '

keys / LOGI Enter
ok "no row has the text" shows '0 of 2 rows  filter /LOGI/'
keys Escape
keys / SESSION
ok "while it is typed" shows '1 of 2 rows  filter /SESSION_'
keys BSpace BSpace Enter
ok "filtered" row 1 'leak_session'
keys Escape
ok "filter dropped" shows '2 of 2 rows *$'

keys '?'
ok "help" shows 'choose a row'
keys x
ok "help gone" vanishes 'choose a row'

keys p
ok "paused" shows '^PAUSED'
before=$(rows)
count=$(column main.seep 'select count(*) from snapshot')
three_more() { [ "$(column main.seep 'select count(*) from snapshot')" -ge $((count + 3)) ]; }
ok "the recording goes on" until_true three_more
same_rows() { [ "$(rows)" = "$before" ]; }
ok "the rows stand still" same_rows
keys p
ok "the rows go on" until_true not same_rows

keys m
ok "mark" shows '^seep: mark1 at [0-9]'
marked() { [ "$(column main.seep 'select sum(marked) from snapshot')" = 1 ]; }
ok "the mark is recorded" until_true marked

# ---- what comes at once and stays ---------------------------------------------------------------

kill -USR2 "$target_main"
ok "a cache is a plateau, and no leak" row 3 ' plateau +malloc fill_cache  .*watched\.c:'

# ---- sizes -----------------------------------------------------------------------------------------

mux resize-window -t main -x 60 -y 15
ok "60x15" shows '^ growth +rate +live verdict +function$'
ok "60x15: rows" row 1 '/s .* leak +leak_upload  watched\.c:'
ok "60x15: the last line" until_true sh -c "tmux -L top capture-pane -p -t main | sed -n 15p | grep -q ."
keys ']'
ok "stack scrolled" shows '── stack of row 1, frames 2 to '
keys '['
ok "stack scrolled back" shows '── stack of row 1, frames 1 to '
mux resize-window -t main -x 132 -y 43
ok "132x43" shows '^ growth +rate +live blocks kept trend +verdict +class +function$'
ok "132x43: rows" row 1 '[▁▂▃▄▅▆▇█]{16} leak +mmap +leak_upload  .*/watched\.c:'
mux resize-window -t main -x 30 -y 5
ok "30x5" shows '^seep top: too small'
mux resize-window -t main -x 80 -y 24
ok "80x24" row 1 'leak_upload'

# ---- a terminal that takes nothing -----------------------------------------------------------------

keys C-s
count=$(column main.seep 'select count(*) from snapshot')
ok "the recording does not wait for the terminal" until_true three_more
keys C-q

# ---- ends ------------------------------------------------------------------------------------------

keys q
ok "quit says which file" printed '^seep: wrote main\.seep'
ok "quit: status" shows '^status 0'
ok "quit: terminal" window_clean
ok "quit: the recording is whole" complete main.seep
ok "quit: it can be read" recorded main.seep
ok "messages are printed again" printed '^seep: mark1 at'

window=killed
ok "NO_COLOR" row 1 'leak_upload'
ok "NO_COLOR: none" sh -c "! tmux -L top capture-pane -e -p -t killed | grep -q '\[3[0-7]m'"
kill "$target_killed"
ok "end of the target" printed '^#1 +leak +\+'
ok "end of the target: status" shows '^status 0'
ok "end of the target: terminal" window_clean
ok "end of the target is told" printed 'the target has ended'

window=term
ok "SIGTERM: it runs" row 1 'leak_upload'
kill "$(pid_of term)"
ok "SIGTERM: status" shows '^status 0'
ok "SIGTERM: terminal" window_clean
ok "SIGTERM: recording" complete term.seep

window=crash
ok "crash: it runs" row 1 'leak_upload'
kill -SEGV "$(pid_of crash)"
ok "crash: status" shows '^status 139'
ok "crash: terminal" window_clean
ok "crash: the recording can be read" recorded crash.seep

window=hangup
ok "hangup: it runs" row 1 'leak_upload'
pid=$(pid_of hangup)
mux kill-session -t hangup
ok "hangup: seep ends" process_ends "$pid"
ok "hangup: recording" complete hangup.seep

window=lost
ok "losses are shown" shows '^LOST [0-9,]+  '
keys q
ok "losses: terminal" window_clean

# ---- names that would steer a terminal; a command ----------------------------------------------------

cat >evil.py <<'END'
import time
kept = []
def plain():
    kept.append(bytearray(4099))
NAME = "\x1b]2;taken\x07\x1b[2J\nrow\u202e\u4e2d"
named = {key: NAME for key in ("co_name", "co_qualname") if hasattr(plain.__code__, key)}
evil = plain.__code__.replace(**named)
def caller():
    exec(evil)
print("this is not for the screen", flush=True)
for _ in range(100000):
    caller()
    time.sleep(0.005)
END
window=evil
window_open evil
mux select-pane -t evil -T untaken
window_run evil "$seep top -c '/usr/bin/python3 evil.py' -o evil.seep"
ok "a hostile name is harmless" row 1 '[0-9]% .*\?row�中'
ok "a hostile name: header" shows '^seep top  python3'
ok "a hostile name: title" [ "$(mux display -p -t evil '#{pane_title}')" = untaken ]
ok "output of the command stays away" not shows_now 'not for the screen'
keys C-c
ok "Ctrl-C: status" shows '^status 0'
ok "Ctrl-C: terminal" window_clean
ok "Ctrl-C: recording" complete evil.seep

# ---- where nothing can be drawn ----------------------------------------------------------------------

refuses() # PATTERN COMMAND...: one line, and no recording
{
	local pattern=$1 said
	shift
	said=$("$@" 2>&1 </dev/null) && return 1
	[ "$(wc -l <<<"$said")" = 1 ] && grep -qE -- "$pattern" <<<"$said"
}
ok "no terminal" refuses '^seep: top draws on a terminal.*seep record' "$seep" top -p $$
ok "no such terminal" refuses "^seep: top does not know terminals of type 'nonsense'" \
	script -qec "TERM=nonsense $seep top -p $$" /dev/null
ok "no cursor" refuses "^seep: top cannot draw on terminals of type 'dumb'" \
	script -qec "TERM=dumb $seep top -p $$" /dev/null
nothing_left() { ! ls seep.*.seep >/dev/null 2>&1; }
ok "nothing was written" nothing_left

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
