/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/port/port.h"

struct port *port_array[PORT_ID_MAX];
