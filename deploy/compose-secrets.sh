#!/bin/sh
# Makes the secrets of docker-compose.yml, each once: what is there stays.
set -eu
umask 022
cd "$(dirname "$0")/.."
# the folder is yours alone; the files must be readable in containers, which run under other numbers
mkdir -p -m 700 secrets
for name in web-token grafana-admin-password; do
    [ -s "secrets/$name" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"secrets/$name"
done
