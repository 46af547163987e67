-- SPDX-License-Identifier: BSD-3-Clause
-- 1 … 100,000 flows: source ports and addresses run through a range, one value a packet.
package.path = package.path .. ";" .. (debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "?.lua"
local common = require "common"
local port = common.sender

local function fixed(set, value, zero)
	set(port, "start", value)
	set(port, "inc", zero)
	set(port, "min", value)
	set(port, "max", value)
end

local function flows(ports, last_address)
	local range = pktgen.range
	fixed(range.dst_ip, "20.0.0.1", "0.0.0.0")
	fixed(range.dst_port, 5678, 0)
	fixed(range.pkt_size, 64, 0)
	range.dst_mac(port, "start", common.receiver_mac)
	range.src_mac(port, "start", common.sender_mac)
	range.src_ip(port, "start", "10.0.0.1")
	range.src_ip(port, "inc", last_address == "10.0.0.1" and "0.0.0.0" or "0.0.0.1")
	range.src_ip(port, "min", "10.0.0.1")
	range.src_ip(port, "max", last_address)
	range.src_port(port, "start", 1024)
	range.src_port(port, "inc", ports > 1 and 1 or 0)
	range.src_port(port, "min", 1024)
	range.src_port(port, "max", 1023 + ports)
	pktgen.set_range(port, "on")
end

common.one_flow()
common.introduce()
common.send("1 flow", 5)
-- Address and port step together: the number of flows is their least common multiple.
for _, try in ipairs({ { 1000, "10.0.0.1" }, { 9973, "10.0.0.1" }, { 9973, "10.0.0.10" } }) do
	flows(try[1], try[2])
	common.send(string.format("%d ports, sources to %s", try[1], try[2]), 5)
end
pktgen.quit()
