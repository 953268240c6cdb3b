#!/usr/bin/env bash
# apt-repo.sh PACKAGES REPOSITORY KEY: makes of the .debs in the directory PACKAGES a
# signed apt repository in the directory REPOSITORY, to be served by any web server.
# KEY is the id of a key in gpg's ring. Who is to use it has its public part in
# /usr/share/keyrings/headgate.gpg and in /etc/apt/sources.list.d/headgate.list:
#
#   deb [signed-by=/usr/share/keyrings/headgate.gpg] https://HOST/PATH stable main
#
# Needs apt-utils and gpg.
set -euo pipefail

packages=${1:?usage: packaging/apt-repo.sh PACKAGES REPOSITORY KEY}
repository=${2:?usage: packaging/apt-repo.sh PACKAGES REPOSITORY KEY}
key=${3:?usage: packaging/apt-repo.sh PACKAGES REPOSITORY KEY}

mkdir -p "$repository/pool/main/h/headgate"
cp "$packages"/headgate_*.deb "$repository/pool/main/h/headgate/"
cd "$repository"
for arch in amd64 arm64 armhf; do
	dir=dists/stable/main/binary-$arch
	mkdir -p "$dir"
	apt-ftparchive --arch "$arch" packages pool >"$dir/Packages"
	gzip -9nk --force "$dir/Packages"
done
release=dists/stable/Release
rm -f "$release" "$release.gpg" dists/stable/InRelease
apt-ftparchive -o APT::FTPArchive::Release::Origin=headgate -o APT::FTPArchive::Release::Suite=stable \
	-o APT::FTPArchive::Release::Codename=stable -o APT::FTPArchive::Release::Components=main \
	-o 'APT::FTPArchive::Release::Architectures=amd64 arm64 armhf' release dists/stable >"$release.new"
mv "$release.new" "$release"
gpg --batch --yes --local-user "$key" --armor --detach-sign --output "$release.gpg" "$release"
gpg --batch --yes --local-user "$key" --clearsign --output dists/stable/InRelease "$release"
gpg --batch --yes --export "$key" >headgate.gpg
