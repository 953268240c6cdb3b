# What .ci/run and .ci/proof share: sections with their times, the peers that
# tests run against, what the kernel here can do, and fuzzing. Sourced by both,
# from the top of the tree.
# shellcheck shell=bash disable=SC2034

# Debian's packages of the programs that tests talk to.
peer_packages=(mosquitto mosquitto-clients influxdb python3-cbor2 zstd python3-paho-mqtt python3-jinja2 python3-pymodbus python3-serial-asyncio
	libmodbus-dev mbpoll socat ser2net python3-serial strace prometheus prometheus-mqtt-exporter chromium)

# What an emulated test program cannot do: start itself, under strace or not.
emulated_skip='^(TestWhateverFileIsDamaged|TestSyncsThatEnd|TestOnASlowDisk|TestWhatAFailedSync)'

# Packages of Node.js, kept between runs.
node_packages=(mqtt@5.16.0 node-red@4.1.15 sparkplug-payload@1.0.3 axe-core@4.14.1 @taplo/cli@0.7.0)
node_dir=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/headgate-peers
export HEADGATE_NODE_MODULES=$node_dir/node_modules

sections=() # a line each, for the summary
failed=0

# section NAME COMMAND [ARG...] runs a function or program with errexit on and no
# standard input, tells its time, and goes on when it fails: one run shows
# everything that is wrong. Call it as a plain command only: behind if, && or ||
# bash would switch errexit off inside.
section() {
	local name=$1 start=$SECONDS status
	shift
	printf '\n==== %s\n' "$name"
	set +e
	(
		set -e
		"$@"
	) </dev/null
	status=$?
	set -e
	local outcome=passed
	if ((status)); then
		outcome="FAILED (exit status $status)"
		failed=$((failed + 1))
	fi
	printf -- '---- %s: %s in %d s\n' "$name" "$outcome" $((SECONDS - start))
	sections+=("$(printf '%5d s  %-28s %s' $((SECONDS - start)) "$name" "$outcome")")
}

# finish LIMIT_MINUTES prints the summary and ends the script.
finish() {
	printf '\n==== summary\n'
	printf '%s\n' "${sections[@]}"
	printf '%5d s  in all\n' "$SECONDS"
	if ((SECONDS > $1 * 60)); then
		printf 'That is more than the %d minutes that it should take.\n' "$1"
	fi
	if ((failed)); then
		printf '%d of %d sections FAILED\n' "$failed" "${#sections[@]}"
		exit 1
	fi
	printf 'all %d sections passed\n' "${#sections[@]}"
	exit 0
}

# install PACKAGE... installs what is missing, without starting any service.
install() {
	local p missing=()
	for p; do
		if [[ $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) != *"ok installed"* ]]; then
			missing+=("$p")
		fi
	done
	if ((${#missing[@]} == 0)); then
		echo "already here: $*"
		return
	fi
	if ((EUID)); then
		echo "not root; missing: apt-get install ${missing[*]}"
		return 1
	fi
	# Debian's mosquitto would start, and hold the port that a test may want.
	local policy=/usr/sbin/policy-rc.d ours=
	if [[ ! -e $policy ]]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
		ours=$policy
	fi
	local status=0
	{
		apt-get update -qq &&
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
	} >"$scratch/apt.log" 2>&1 || status=$?
	if [[ $ours ]]; then
		rm -f "$ours"
	fi
	if ((status)); then
		tail -n 40 "$scratch/apt.log"
		return "$status"
	fi
	echo "installed: ${missing[*]}"
}

# install_node installs Node.js if there is none, and its packages.
install_node() {
	if ! command -v npm >/dev/null; then
		install nodejs npm
	fi
	mkdir -p "$node_dir"
	npm install --prefix "$node_dir" --no-audit --no-fund --loglevel error "${node_packages[@]}"
}

# kernel says what this machine's kernel and rights do not allow, and so what a
# green run here does not prove. Nothing of it fails the run: the tests concerned
# look for themselves and say that they were left out.
kernel() {
	ability 'loop devices' 'what needs a disk of its own: power cuts, a full file system' try_loop
	ability 'namespaces' 'what needs a network or mount table of its own' unshare --net --mount true
	ability 'ptrace' 'what injects faults into system calls' try_ptrace
	ability 'pseudo-terminals' 'everything on a serial line' try_pty
}

ability() { # NAME PROOF COMMAND...
	local name=$1 proof=$2
	shift 2
	if "$@" >/dev/null 2>&1; then
		printf '%-17s yes\n' "$name"
	else
		printf '%-17s MISSING: not proven here: %s\n' "$name" "$proof"
	fi
}

try_loop() {
	local device
	truncate -s 1M "$scratch/loop.img"
	device=$(losetup --find --show "$scratch/loop.img") && losetup --detach "$device"
}

try_ptrace() {
	/usr/bin/python3 -c 'import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0)' # PTRACE_TRACEME
}

try_pty() { /usr/bin/python3 -c 'import os; os.openpty()'; }

# fuzz_targets prints a line a fuzz target: package, function.
fuzz_targets() {
	go test -list '^Fuzz' ./... | awk '
		/^Fuzz/ { name[n++] = $1 }
		/^ok/   { for (i = 0; i < n; i++) print $2, name[i]; n = 0 }'
}

# fuzz_all EACH BUDGET fuzzes every target for EACH seconds, shorter if there are
# so many that all together would take more than BUDGET seconds.
fuzz_all() {
	local each=$1 budget=$2 targets count package name wrong=0
	targets=$(fuzz_targets)
	if [[ -z $targets ]]; then
		echo 'no fuzz targets'
		return 1
	fi
	count=$(wc -l <<<"$targets")
	if ((each * count > budget)); then
		each=$((budget / count > 2 ? budget / count : 2))
	fi
	echo "$count targets, $each s each"
	while read -r package name; do
		fuzz_one "$package" "$name" "$each" || wrong=1
	done <<<"$targets"
	return "$wrong"
}

# fuzz_one PACKAGE NAME SECONDS shows the last progress line, or all of a failure.
fuzz_one() {
	local log=$scratch/fuzz.log status=0
	echo "-- $2 in $1"
	go test -run '^$' -fuzz "^$2\$" -fuzztime "${3}s" -timeout 60m "$1" >"$log" 2>&1 || status=$?
	if ((status == 0)); then
		grep 'execs:' "$log" | tail -n 1 || true
		grep '^ok' "$log" || true
		return
	fi
	# Go's own race at the end of -fuzztime, golang/go#75804: no input failed.
	if grep -q '^ *context deadline exceeded$' "$log" && ! grep -qE 'Failing input|panic|fuzzing process|_test\.go:|\.go:[0-9]+:' "$log"; then
		echo 'stopped by its deadline while a worker was busy (golang/go#75804); no input failed'
		return
	fi
	cat "$log"
	return 1
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
