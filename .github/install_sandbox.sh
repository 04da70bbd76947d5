#!/usr/bin/env bash
# Installs bubblewrap, the sandbox of classifiers, on a machine of GitHub. Ubuntu 24.04 forbids it to work unless told.
set -euo pipefail
sudo apt-get update -qq
sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends bubblewrap
sudo sysctl -qw kernel.apparmor_restrict_unprivileged_userns=0
bwrap --ro-bind / / --unshare-all true
