#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Pktgen-DPDK on two NIC ports that are cabled to the switch's NIC ports (another machine, or two
# more ports of this one). Bind them to vfio-pci first: dpdk-devbind.py -b vfio-pci ADDRESS.
#   perf/pktgen/nic.sh 0000:01:00.0 0000:01:00.1 [l2.lua | flows.lua | sizes.lua]
# PKTGEN, PKTGEN_HOME         as in vhost.sh
# CORES=1,2,3                 main lcore, lcore of the first port, lcore of the second
set -eu
[ $# -ge 2 ] || { sed -n 's/^# \{0,1\}//p' "$0" | sed -n '2,7p' >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
script=$here/${3:-l2.lua}
[ -r "$script" ] || { echo "error: $script: not found" >&2; exit 2; }
cores=${CORES:-1,2,3}
first=$(echo "$cores" | cut -d, -f2)
second=$(echo "$cores" | cut -d, -f3)
cd "${PKTGEN_HOME:-.}"
exec "${PKTGEN:-pktgen}" -l "$cores" --main-lcore "${cores%%,*}" --file-prefix sluice-pktgen \
	-a "$1" -a "$2" -- -P -T -m "$first.0,$second.1" -f "$script"
