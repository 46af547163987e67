# SPDX-License-Identifier: BSD-3-Clause
"""What perf/run and perf/plot are made of. Standard library only."""
