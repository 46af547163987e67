-- SPDX-License-Identifier: BSD-3-Clause
-- What the scripts of this directory share. Port 0 sends, port 1 receives; only commands of
-- Pktgen's documentation are used (23.03.0, for DPDK 22.11).
package.path = package.path .. ";?.lua;test/?.lua;app/?.lua;"
require "Pktgen"

local common = { sender = "0", receiver = "1",
                 sender_mac = "02:00:00:00:0a:00", receiver_mac = "02:00:00:00:0b:00" }

-- One UDP flow of 64-byte packets, at line rate, without end.
function common.one_flow()
	pktgen.screen("off")
	pktgen.clr()
	pktgen.set("all", "rate", 100)
	pktgen.set("all", "size", 64)
	pktgen.set("all", "count", 0)
	pktgen.set(common.sender, "sport", 1234)
	pktgen.set(common.sender, "dport", 5678)
	pktgen.set_mac(common.sender, "dst", common.receiver_mac)
	pktgen.set_mac(common.receiver, "dst", common.sender_mac)
	pktgen.set_ipaddr(common.sender, "dst", "20.0.0.1")
	pktgen.set_ipaddr(common.sender, "src", "10.0.0.1/24")
	pktgen.set_ipaddr(common.receiver, "dst", "10.0.0.1")
	pktgen.set_ipaddr(common.receiver, "src", "20.0.0.1/24")
	pktgen.set_proto("all", "udp")
end

-- A few packets from the receiver, so that a learning switch knows where it is.
function common.introduce()
	pktgen.set(common.receiver, "count", 10)
	pktgen.start(common.receiver)
	pktgen.delay(500)
	pktgen.stop(common.receiver)
end

-- Sends for `seconds`; prints each second's rates, then what was sent and received.
function common.send(what, seconds)
	pktgen.clr()
	pktgen.start(common.sender)
	for second = 1, seconds do
		pktgen.delay(1000)
		local rate = pktgen.portStats("all", "rate")
		printf("%s: second %d: sent %.3f Mpps, received %.3f Mpps\n", what, second,
		       rate[0].pkts_tx / 1e6, rate[1].pkts_rx / 1e6)
	end
	pktgen.stop(common.sender)
	pktgen.delay(1000)
	local sent = pktgen.portStats(common.sender, "port")[0].opackets
	local received = pktgen.portStats(common.receiver, "port")[1].ipackets
	printf("%s: sent %d, received %d, not received %d\n", what, sent, received,
	       sent - received)
end

return common
