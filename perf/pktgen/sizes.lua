-- SPDX-License-Identifier: BSD-3-Clause
-- One flow at the packet sizes of RFC 2544, five seconds each.
package.path = package.path .. ";" .. (debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "?.lua"
local common = require "common"

common.one_flow()
common.introduce()
for _, size in ipairs({ 64, 128, 256, 512, 1024, 1280, 1518 }) do
	pktgen.set(common.sender, "size", size)
	common.send(size .. " bytes", 5)
end
pktgen.quit()
