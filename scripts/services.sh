# Sourced by quickstart.sh and bench.sh: start, await and stop a service in the background.
# A pid file holds "pid starttime": the start time tells our process from a stranger that got the same number later.

started_at() { # PID -> start time of a living process, in clock ticks since boot; nothing if there is none
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # The command name may hold spaces and brackets: count the fields behind the last bracket.
    stat=${stat##*) }
    [[ $stat == Z* ]] || cut -d' ' -f20 <<<"$stat"
}

is_ours() { # PIDFILE
    local pid time
    [[ -r $1 ]] && read -r pid time <"$1" && [[ -n $time && $(started_at "$pid") == "$time" ]]
}

start_service() { # BINARY CONFIG PIDFILE LOG
    (
        # The child writes its own number before it becomes the service: a script killed here leaves no orphan that the
        # next run does not know. Descriptor 9 is quickstart's lock, which must end with the script.
        pid=$BASHPID # which is another one inside of $(…)
        echo "$pid $(started_at "$pid")" >"$3.new" && mv "$3.new" "$3"
        exec setsid "$1" --config "$2" run
    ) >>"$4" 2>&1 </dev/null 9>&- &
}

stop_service() { # PIDFILE SECONDS: asks, waits, and says whether it ended
    local pid deadline=$((SECONDS + $2))
    if is_ours "$1"; then
        read -r pid _ <"$1"
        kill -TERM "$pid" 2>/dev/null || true
        while is_ours "$1"; do
            ((SECONDS < deadline)) || return 1
            sleep 0.1
        done
    fi
    rm -f "$1"
}

wait_ready() { # URL PIDFILE SECONDS: 0 when ready, 1 when the process ended, 2 at the deadline
    local deadline=$((SECONDS + $3))
    until curl --noproxy '*' -fsS -m 2 -o /dev/null "$1/health/ready" 2>/dev/null; do
        # A process that has just been started has not written its file yet.
        [[ ! -e $2 ]] || is_ours "$2" || return 1
        ((SECONDS < deadline)) || return 2
        sleep 0.1
    done
}

port_taken() { # PORT on 127.0.0.1
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
