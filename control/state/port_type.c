/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables of names: iface_types.def and the VLAN modes. */
#include "control/state/port_type.h"

#include <string.h>

static const struct {
	const char *name;
	int role;
} iface_types[] = {
#define IFACE_TYPE(name, role, doc) {name, PORT_TYPE_##role},
#include "control/state/iface_types.def"
#undef IFACE_TYPE
};

static const char *const vlan_modes[] = {"trunk", "access", "native-tagged", "native-untagged",
					 "dot1q-tunnel"};

int port_type_vlan_mode(const char *text)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(vlan_modes); i++)
		if (!strcmp(text, vlan_modes[i]))
			return (int)i;
	return -1;
}

const char *port_type_vlan_mode_name(unsigned mode)
{
	return mode < SL_ARRAY_SIZE(vlan_modes) ? vlan_modes[mode] : "";
}

int port_type_role(const char *type)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(iface_types); i++)
		if (!strcmp(type, iface_types[i].name))
			return iface_types[i].role;
	return -1;
}

size_t port_type_count(void)
{
	return SL_ARRAY_SIZE(iface_types);
}

const char *port_type_name(size_t i)
{
	return iface_types[i].name;
}
