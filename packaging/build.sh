#!/usr/bin/env bash
# build.sh VERSION [DIRECTORY]: the Debian packages for amd64, arm64 and armhf (a
# Pi Zero runs it) of what is committed, in DIRECTORY, by default dist. VERSION is
# one of semantic versioning without a v: 1.2.3, or 1.2.3-rc.1. The same commit
# and version give the same bytes. ARCHES="amd64" builds only that.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=${1:?usage: packaging/build.sh VERSION [DIRECTORY]}
mkdir -p "${2:-dist}"
dist=$(cd "${2:-dist}" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
umask 022

if [[ -n $(git status --porcelain) ]]; then
	echo 'build.sh: what is not committed is not built' >&2
fi

# In a clone with the version as its tag: from there the Go toolchain has what
# `headgate version` says.
git clone --quiet --shared . "$scratch/tree" 2>/dev/null
cd "$scratch/tree"
git -c user.name=build -c user.email= tag --force "v$version" >/dev/null
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH CGO_ENABLED=0 LC_ALL=C TZ=UTC
DATE=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
MAINTAINER='headgate maintainers <maintainers@headgate.example>'
VERSION=$version
export MAINTAINER VERSION

stage=$scratch/stage
mkdir -p "$stage/man" "$stage/completion" "$stage/doc"

# Nothing of it speaks HTTP/2: that is half a megabyte. Functions that begin at every 16
# bytes, as x86-64 wants them, in place of every 32 are another 0.2.
build() { go build -tags nethttpomithttp2 -trimpath -buildvcs=true -ldflags '-s -w -buildid= -funcalign=16' -o "$1" ./cmd/headgate; }

# The modules' licences, of those that are linked in.
licenses() {
	go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/headgate | sort -u |
		while read -r path release dir; do
			printf '==== %s %s\n\n' "$path" "$release"
			find "$dir" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'notice*' -o -iname 'copying*' \) | sort | xargs -r cat
			echo
		done
	printf '==== The Go standard library\n\n'
	cat "$(go env GOROOT)/LICENSE"
}

debian_changelog() {
	printf 'headgate (%s-1) stable; urgency=medium\n\n  * Version %s: changelog.gz beside this file says what is new.\n' "${version/-/\~}" "$version"
	printf '\n -- %s  %s\n' "$MAINTAINER" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
}

build "$scratch/headgate"
"$scratch/headgate" manual >"$stage/man/headgate.1"
"$scratch/headgate" manual headgate.toml >"$stage/man/headgate.toml.5"
"$scratch/headgate" config default >"$stage/headgate.toml"
"$scratch/headgate" config schema >"$stage/headgate.schema.json"
for shell in bash zsh fish; do
	"$scratch/headgate" completion "$shell" >"$stage/completion/headgate.$shell"
done
licenses >"$stage/doc/third-party-licenses"
debian_changelog >"$stage/doc/changelog.Debian"
cp CHANGELOG.md "$stage/doc/changelog"
gzip -9n "$stage"/man/* "$stage/doc/"*
cp README.md packaging/deb/copyright packaging/docs/*.md "$stage/doc/"
find "$stage" -exec touch -h -d "$DATE" {} +

for arch in ${ARCHES:-amd64 arm64 armhf}; do
	case $arch in
	amd64 | arm64) export GOARCH=$arch ARCH=$arch ;;
	armhf) export GOARCH=arm GOARM=6 ARCH=arm6 ;;
	*) echo "build.sh: no package for $arch: amd64, arm64 or armhf" >&2 && exit 2 ;;
	esac
	GOOS=linux build "$stage/bin/headgate"
	STAGE=$stage
	export STAGE
	(
		unset GOARCH GOARM
		go tool -modfile=packaging/tools.mod nfpm package --config packaging/nfpm.yaml --packager deb --target "$dist/" >"$scratch/log" 2>&1
	) || { cat "$scratch/log" >&2 && exit 1; }
done
cd "$dist"
sha256sum headgate_"${version/-/\~}"-1_*.deb
