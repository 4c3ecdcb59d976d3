#!/bin/sh
# Install the programs that tests run, where that can be done without asking: as root on Debian.
# Elsewhere a test that misses one says so.
set -eu

missing=''
# program:package
for pair in mandoc:mandoc ssh-keygen:openssh-client openssl:openssl strace:strace \
	setpriv:util-linux prlimit:util-linux unshare:util-linux mkfs.ext4:e2fsprogs make:make \
	zsh:zsh fish:fish man:man-db git:git git-lfs:git-lfs; do
	command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "not installed, so some tests can't run:$missing" >&2
	exit 0
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of words
apt-get install -y -qq --no-install-recommends $missing >/dev/null
