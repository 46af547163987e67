#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Pktgen-DPDK as two guests: it serves two vhost-user sockets, of which the switch's ports are
# clients (type=dpdkvhostuserclient).
#   perf/pktgen/vhost.sh SOCKET SOCKET [l2.lua | flows.lua | sizes.lua]
# PKTGEN=/path/to/pktgen      default: pktgen on the PATH (Debian has no package of it)
# PKTGEN_HOME=/its/source     where its Pktgen.lua is
# CORES=0,1                   main lcore and the one that serves both ports (may be the same core)
set -eu
[ $# -ge 2 ] || { sed -n 's/^# \{0,1\}//p' "$0" | sed -n '2,9p' >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
main=${CORES:-0,0}
main=${main%,*}
work=${CORES:-0,0}
work=${work#*,}
script=$here/${3:-l2.lua}
[ -r "$script" ] || { echo "error: $script: not found" >&2; exit 2; }
# Pktgen.lua, which the scripts load, lies in Pktgen's source directory.
cd "${PKTGEN_HOME:-.}"
# Both ports on one lcore: rx and tx lcores that share a core starve each other. About 3 GB of
# hugepages: it makes several pools of 24,576 buffers for each port. It wants a terminal.
command="${PKTGEN:-pktgen} --lcores 0@$main,1@$work --no-pci --single-file-segments -m 4000 \
--file-prefix sluice-pktgen \
--vdev net_virtio_user0,path=$1,server=1 --vdev net_virtio_user1,path=$2,server=1 \
-- -P -T -m 1.[0-1] -f $script"
if [ -t 1 ]; then
	exec $command
fi
exec script -qec "$command" /dev/null
