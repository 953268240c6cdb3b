#!/usr/bin/env bash
# test.sh: builds the packages, looks at them, and has one live its life: installed
# with apt in a Debian 12 of its own, booted by systemd there, killed, hung,
# upgraded, removed and purged. As root, with debootstrap, lintian, apt-utils, gpg and
# systemd-nspawn; .ci/run installs them. ARCHES="amd64" builds only that.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/headgate-peers
scratch=$(mktemp -d)
root=$scratch/root
container= # the pid of systemd-nspawn; of what it has started, leader
trap 'stop_container; rm -rf "$scratch"' EXIT

fail() {
	printf 'FAILED: %s\n' "$*" >&2
	exit 1
}

step() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

# in_root COMMAND... runs it in the root, before it is booted.
in_root() { chroot "$root" env DEBIAN_FRONTEND=noninteractive "$@"; }

# boot starts the root's systemd and waits until headgate's state is known there.
boot() {
	systemd-nspawn --quiet -D "$root" --register=no --keep-unit -b --private-network --console=pipe >"$scratch/console" 2>&1 &
	container=$!
	for _ in $(seq 300); do
		leader=$(pgrep -P "$container" || true)
		if [[ $leader ]] && inside systemctl is-system-running 2>/dev/null | grep -E 'running|degraded' >/dev/null; then
			return
		fi
		kill -0 "$container" 2>/dev/null || break
		sleep 0.2
	done
	cat "$scratch/console"
	fail 'the container does not boot'
}

# inside COMMAND... runs it in the booted root.
inside() { nsenter -t "$leader" -a "$@"; }

stop_container() {
	if [[ $container ]]; then
		inside systemctl --force poweroff >/dev/null 2>&1 || true
		for _ in $(seq 50); do
			kill -0 "$container" 2>/dev/null || break
			sleep 0.2
		done
		kill "$container" 2>/dev/null || true
		wait "$container" 2>/dev/null || true
		container=
	fi
}

property() { inside systemctl show -p "$1" --value headgate; }

# until_property NAME VALUE: within 30 seconds.
until_property() {
	for _ in $(seq 150); do
		[[ $(property "$1") != "$2" ]] || return 0
		sleep 0.2
	done
	inside journalctl -u headgate --no-pager | tail -n 20
	fail "$1 of headgate.service is $(property "$1"), want $2"
}

# restarted BEFORE: it runs again, as another process.
restarted() {
	until_property SubState running
	[[ $(property MainPID) != "$1" ]] || fail 'it has not been restarted'
}

installed() { in_root dpkg-query -W -f '${Version}' headgate; }

step "packages for ${ARCHES:-three architectures}"
packaging/build.sh 0.9.0 "$scratch/a"
step 'the same once more'
packaging/build.sh 0.9.0 "$scratch/b" >/dev/null
for deb in "$scratch"/a/*.deb; do
	name=${deb##*/}
	cmp "$deb" "$scratch/b/$name" || fail "$name: the second build gave other bytes"
	size=$(stat -c %s "$deb") binary=$(dpkg-deb --fsys-tarfile "$deb" | tar -xO ./usr/bin/headgate | wc -c)
	printf '        %-32s %s bytes, its binary %s\n' "$name" "$size" "$binary"
	((size <= 8000000)) || fail "$name is larger than 8 MB"
	((binary <= 20000000)) || fail "the binary of $name is larger than 20 MB"
done
step 'lintian'
lintian -I --pedantic --fail-on error,warning,info,pedantic --allow-root "$scratch"/a/*_"$(dpkg --print-architecture)".deb
ARCHES=$(dpkg --print-architecture) packaging/build.sh 0.9.1 "$scratch/next" >/dev/null

step 'a Debian 12'
if [[ ! -e $cache/bookworm.tar ]]; then
	mkdir -p "$cache"
	debootstrap --variant=minbase --include=systemd,udev,init,man-db bookworm "$scratch/new" >"$scratch/log" || { tail "$scratch/log" && fail debootstrap; }
	tar -C "$scratch/new" -cf "$cache/bookworm.tar.part" .
	mv "$cache/bookworm.tar.part" "$cache/bookworm.tar"
	rm -rf "$scratch/new"
fi
mkdir "$root"
tar -C "$root" -xf "$cache/bookworm.tar"
printf 'inside\n' >"$root/etc/hostname"
printf '127.0.0.1 localhost inside\n' >"$root/etc/hosts"
cp "$scratch"/next/*.deb "$root/root/"

step 'installed by apt, from a signed repository, and found good'
export GNUPGHOME=$scratch/gnupg
mkdir -m 700 "$GNUPGHOME"
gpg --batch --quiet --passphrase '' --quick-generate-key 'test <test@headgate.example>' ed25519 sign never 2>/dev/null
packaging/apt-repo.sh "$scratch/a" "$root/srv/headgate" test@headgate.example
gpgconf --kill all
cp "$root/srv/headgate/headgate.gpg" "$root/usr/share/keyrings/"
echo 'deb [signed-by=/usr/share/keyrings/headgate.gpg] file:/srv/headgate stable main' >"$root/etc/apt/sources.list"
in_root apt-get -qq update
in_root apt-get install -qq headgate >"$scratch/log" 2>&1 || { cat "$scratch/log" && fail 'apt-get install'; }
in_root headgate version | grep '^headgate v0.9.0 ' >/dev/null || fail "the version is $(in_root headgate version)"
in_root runuser -u headgate -- headgate check >/dev/null
in_root id -nG headgate | grep -w dialout >/dev/null || fail 'the user is not in dialout'
[[ $(stat -c '%U:%G %a' "$root/etc/headgate/headgate.toml") == "root:$(stat -c %G "$root/etc/headgate") 640" ]] || fail 'the configuration may be read by others'
password=$(sed -n 's/^headgate: the page .* with the password //p' "$scratch/log")
[[ $password && $(stat -c '%G %a' "$root/etc/headgate/conf.d/page.toml") == "$(stat -c %G "$root/etc/headgate") 640" ]] || fail 'the page has no first password'
in_root man headgate >/dev/null
in_root man headgate.toml >/dev/null

step 'booted'
boot
until_property SubState running
inside bash -c "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /api/v1/me HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic %s\r\n\r\n' $(printf 'admin:%s' "$password" | base64) >&3 && cat <&3" |
	grep '"role":"operator"' >/dev/null || fail 'the first password does not let in'
inside headgate sub -c -i away -q 1 -t 'plant/#' -E
inside headgate pub -q 1 -t plant/a -m 'through it all'
inside systemctl reload headgate
inside journalctl -u headgate HEADGATE_ADDRESS=127.0.0.1:1883 --no-pager | grep listening >/dev/null || fail 'the journal has no fields'

inside readlink "/proc/$(property MainPID)/cwd" | grep /etc/headgate >/dev/null || fail 'a relative name of a file is not one beside the configuration'

step 'killed'
pid=$(property MainPID)
inside sh -c "kill -9 $pid"
restarted "$pid"

step 'hung: the watchdog ends it'
mkdir -p "$root/etc/systemd/system/headgate.service.d"
printf '[Service]\nWatchdogSec=2s\n' >"$root/etc/systemd/system/headgate.service.d/test.conf"
inside systemctl daemon-reload
inside systemctl restart headgate
pid=$(property MainPID)
sleep 4
[[ $(property MainPID) == "$pid" ]] || fail 'the watchdog ends it although it moves'
inside sh -c "kill -STOP $pid"
for _ in $(seq 100); do
	[[ $(property MainPID) == "$pid" ]] || break
	sleep 0.2
done
restarted "$pid"
inside journalctl -u headgate --no-pager | grep -i watchdog >/dev/null || fail 'nobody speaks of the watchdog'

step 'upgraded, with a configuration that was edited, disabled by hand'
printf '# ours\n' >>"$root/etc/headgate/headgate.toml"
inside systemctl disable headgate >/dev/null 2>&1
inside sh -c 'dpkg -i --force-confold /root/headgate_0.9.1-1_*.deb' >"$scratch/log" 2>&1 || { cat "$scratch/log" && fail 'dpkg -i of the next version'; }
[[ $(installed) == 0.9.1-1 ]] || fail "installed is $(installed)"
until_property SubState running
inside headgate status | grep '^headgate  v0.9.1' >/dev/null || fail 'the old one still runs'
tail -n 1 "$root/etc/headgate/headgate.toml" | grep '^# ours$' >/dev/null || fail 'the edited configuration is gone'
[[ $(inside systemctl is-enabled headgate) == disabled ]] || fail 'the upgrade has enabled it'

step 'booted once more, with what was acknowledged before'
inside systemctl enable headgate >/dev/null 2>&1
stop_container
boot
until_property SubState running
got=$(inside headgate sub -c -i away -q 1 -t 'plant/#' -C 1 -W 20)
[[ $got == 'through it all' ]] || fail "got $got"

step 'removed: its data stay'
inside dpkg -r headgate >/dev/null 2>&1
[[ -d $root/var/lib/headgate/store && -e $root/etc/headgate/headgate.toml ]] || fail 'removing takes its data'
! inside systemctl is-active --quiet headgate || fail 'it still runs'

step 'purged: nothing stays'
inside dpkg -P headgate >/dev/null 2>&1
rm -r "$root/etc/systemd/system/headgate.service.d" "$root/srv/headgate" "$root/usr/share/keyrings/headgate.gpg"
left=$(find "$root" -xdev -ipath '*headgate*' -not -path "$root/proc/*" -not -path "$root/root/*" -not -path "$root/var/log/*" -not -path "$root/var/cache/*" -not -path "$root/var/lib/apt/*" -printf '/%P ')
[[ -z $left ]] || fail "left behind: $left"
step 'all passed'
