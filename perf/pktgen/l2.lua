-- SPDX-License-Identifier: BSD-3-Clause
-- One flow of 64-byte packets for ten seconds: the learning bridge at its easiest.
package.path = package.path .. ";" .. (debug.getinfo(1, "S").source:match("^@(.*/)") or "./") .. "?.lua"
local common = require "common"

common.one_flow()
common.introduce()
common.send("l2, 1 flow", 10)
pktgen.quit()
