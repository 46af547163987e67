/* SPDX-License-Identifier: BSD-3-Clause */
/* Names that files and columns use for kinds of ports. Pure. */
#pragma once
#include "datapath/base/util.h"

enum { PORT_TYPE_GUEST, PORT_TYPE_HOST, PORT_TYPE_UPLINK }; /* values of ATTR_PORT_ROLE */

/* The role that a type has unless told otherwise; -1: the type is not supported. */
int port_type_role(const char *type);
size_t port_type_count(void);
const char *port_type_name(size_t i);

/* "access", "trunk", "native-tagged" … to enum config_vlan_mode; -1: unknown. */
int port_type_vlan_mode(const char *text);
const char *port_type_vlan_mode_name(unsigned mode);
