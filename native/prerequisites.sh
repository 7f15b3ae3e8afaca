#!/bin/sh
# Name everything that the build needs and this machine lacks, all at once, with the line that installs it.
# usage: prerequisites.sh GIGABYTES CACHE TOOL...
gigabytes=$1 cache=$2
shift 2
missing='' packages=''

# package TOOL: what the machine's package manager calls it.
package() {
	case $manager:$1 in
	apt:go) echo golang-go ;;
	dnf:go) echo golang ;;
	apt:g++) echo g++ ;;
	dnf:g++) echo gcc-c++ ;;
	brew:g++) echo gcc ;;
	brew:cargo) echo rust ;;
	brew:pip) echo python ;;
	*:pip) echo python3-pip ;;
	apt:venv) echo python3-venv ;;
	dnf:venv) echo python3 ;;
	brew:python3 | brew:venv) echo python ;;
	*:mvn) echo maven ;;
	*) echo "$1" ;;
	esac
}

# has TOOL: whether it runs.
has() {
	case $1 in
	python3) "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 9))' ;;
	pip) "${PYTHON:-python3}" -m pip --version ;;
	venv) "${PYTHON:-python3}" -c 'import ensurepip, venv' ;;
	go) (cd "$(dirname "$0")/.." && go list -m) ;;
	g++) ${GRAFT_CXX:-g++} --version ;;
	*) command -v "$1" ;;
	esac >/dev/null 2>&1
}

for manager in apt dnf brew ''; do
	[ -z "$manager" ] || command -v "$manager" >/dev/null 2>&1 && break
done
case $manager in
apt) install='sudo apt-get install -y' ;;
dnf) install='sudo dnf install -y' ;;
brew) install='brew install' ;;
*) install="install with your system's package manager:" ;;
esac

for tool; do
	has "$tool" && continue
	missing="$missing $tool"
	packages="$packages $(package "$tool")"
done

problems=0
platform=$(uname -sm)
if [ "$platform" != 'Linux x86_64' ]; then
	echo "setup: this is $platform; the native libraries are locked for Linux x86_64 alone" >&2
	problems=1
fi
if [ -n "$missing" ]; then
	echo "setup: missing:$missing" >&2
	echo "hint: $install$packages" >&2
	case "$missing " in
	*' go '*) echo 'hint: go.mod names the least Go version; an older Go (1.21 or later) fetches it by itself' >&2 ;;
	esac
	case "$missing " in
	*' python3 '*) echo 'hint: Python 3.9 or later; PYTHON=... names another interpreter' >&2 ;;
	esac
	problems=1
fi
free=$(df -Pk "$cache" | awk 'NR == 2 { print int($4 / 1000000) }')
if [ "$free" -lt "$gigabytes" ]; then
	echo "setup: \"$cache\" has $free GB free, the set-up may take $gigabytes GB" >&2
	echo 'hint: GRAFT_CACHE=... puts it on another disk' >&2
	problems=1
fi
exit $problems
