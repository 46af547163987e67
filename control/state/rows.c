/* SPDX-License-Identifier: BSD-3-Clause */
/* Bridge, Port and Interface rows become config_bridge and config_port; a Port with one Interface
 * is one port of the datapath, named as the Interface. Nothing here fails: a value that cannot be
 * used is left at its default and noted. */
#include "control/state/rows.h"

#include <stdlib.h>
#include <string.h>

#include "control/state/knobs.h"
#include "control/state/ofport.h"
#include "control/state/port_type.h"
#include "control/state/rows_note.h"
#include "datapath/base/str.h"
#include "ovsdb-lite/client.h"

static const char *knob_text(const struct ovsdb_row *row, enum knob_id id)
{
	return ovsdb_row_map(row, "other_config", knobs[id].key, NULL);
}

static int64_t knob_number(const struct ovsdb_row *row, enum knob_id id)
{
	return knob_int(id, knob_text(row, id));
}

/* ---- VLANs ---- */

static uint8_t *vlan_bitmap(const struct ovsdb_row *row, const char *column)
{
	size_t n = ovsdb_row_n(row, column);
	uint8_t *bits = n ? xzalloc(CONFIG_VLAN_BITMAP_BYTES) : NULL;
	for (size_t i = 0; i < n; i++) {
		int64_t v = ovsdb_row_int_at(row, column, i);
		if (v >= 0 && v < 4096)
			config_vlan_add(bits, (unsigned)v);
	}
	return bits;
}

static void read_vlans(const struct ovsdb_row *row, struct config_port *p, struct rows_notes *notes)
{
	const char *mode = ovsdb_row_string(row, "vlan_mode", "");
	const char *qinq = knob_text(row, KNOB_QINQ_ETHTYPE), *tags;
	int64_t tag = ovsdb_row_int(row, "tag", -1);
	int m = port_type_vlan_mode(mode);

	if (m < 0)
		m = tag >= 0 ? CONFIG_VLAN_ACCESS : CONFIG_VLAN_TRUNK;
	if (tag < 0 && m != CONFIG_VLAN_TRUNK)
		rows_note_add(notes, ROWS_BAD_VALUE, "Port", ovsdb_row_string(row, "name", ""),
			      "vlan_mode", NULL,
			      xasprintf("vlan_mode: %s needs a tag: 0 is taken", mode));
	p->vlan_mode = (uint8_t)m;
	if (m != CONFIG_VLAN_TRUNK)
		p->tag = tag >= 0 ? (uint16_t)tag : 0;
	if (m != CONFIG_VLAN_ACCESS && m != CONFIG_VLAN_DOT1Q_TUNNEL)
		p->trunks = vlan_bitmap(row, "trunks");
	if (m == CONFIG_VLAN_DOT1Q_TUNNEL)
		p->cvlans = vlan_bitmap(row, "cvlans");
	p->qinq_ethtype = qinq && !strcmp(qinq, "802.1q") ? 0x8100 : 0x88a8;
	tags = knob_text(row, KNOB_PRIORITY_TAGS);
	p->priority_tags = !tags                                                  ? 0
			   : !strcmp(tags, "if-nonzero") || !strcmp(tags, "true") ? 1
			   : !strcmp(tags, "always")                              ? 2
										  : 0;
}

/* ---- ports ---- */

static const char *type_of(const struct ovsdb_row *iface, const char *datapath_type,
			   enum rows_dummy dummy)
{
	const char *type = ovsdb_row_string(iface, "type", "");
	bool kernel = !type[0] || !strcmp(type, "system") || !strcmp(type, "internal");
	if (!type[0])
		type = "system";
	if (dummy == DUMMY_NONE || !strcmp(type, "patch"))
		return type;
	if (dummy == DUMMY_OVERRIDE || (dummy == DUMMY_SYSTEM && kernel) ||
	    (!strcmp(datapath_type, "dummy") && !strcmp(type, "internal")))
		return "dummy";
	return type;
}

static uint16_t queue_count(const struct ovsdb_row *iface, const char *key, uint16_t max)
{
	int64_t v = ovsdb_row_map_int(iface, "options", key, 0);
	return v > 0 && v <= max ? (uint16_t)v : 0;
}

static bool is_queue_key(const char *key)
{
	return !strcmp(key, "n_rxq") || !strcmp(key, "n_txq") || !strcmp(key, "n_rxq_desc") ||
	       !strcmp(key, "n_txq_desc");
}

static void read_options(const struct ovsdb_row *iface, struct config_port *p)
{
	p->n_rxq = queue_count(iface, "n_rxq", 64);
	p->n_txq = queue_count(iface, "n_txq", 64);
	p->n_rxq_desc = queue_count(iface, "n_rxq_desc", 32768);
	p->n_txq_desc = queue_count(iface, "n_txq_desc", 32768);
	for (size_t i = 0; i < ovsdb_row_n(iface, "options"); i++) {
		const char *value, *key = ovsdb_row_map_at(iface, "options", i, &value);
		if (!is_queue_key(key))
			config_port_set_option(p, key, value);
	}
}

static uint8_t role_of(const struct ovsdb_row *port, const struct ovsdb_row *iface)
{
	const char *role = knob_text(port, KNOB_SLUICE_ROLE);
	int by_type = port_type_role(ovsdb_row_string(iface, "type", ""));
	if (role && !strcmp(role, "guest"))
		return PORT_TYPE_GUEST;
	if (role && !strcmp(role, "host"))
		return PORT_TYPE_HOST;
	if (role && !strcmp(role, "uplink"))
		return PORT_TYPE_UPLINK;
	return by_type < 0 ? PORT_TYPE_GUEST : (uint8_t)by_type;
}

static void read_static_macs(const struct ovsdb_row *port, const struct config_port *p,
			     struct config *out, struct rows_notes *notes)
{
	const char *text = knob_text(port, KNOB_SLUICE_STATIC_MACS);
	char *copy = text ? xstrdup(text) : NULL, *save = NULL;
	for (char *w = copy ? strtok_r(copy, " ", &save) : NULL; w;
	     w = strtok_r(NULL, " ", &save)) {
		char *slash = strchr(w, '/');
		uint64_t vlan = 0;
		uint8_t mac[6];
		if (slash)
			*slash = '\0';
		if (slash && parse_u64(w, 10, 4095, &vlan) && knob_parse_mac(slash + 1, mac))
			config_add_mac(out, p->bridge, p->name, (uint16_t)vlan, mac);
		else
			rows_note_add(
				notes, ROWS_BAD_VALUE, "Port", p->name, "other_config",
				"sluice-static-macs",
				xasprintf("other_config:sluice-static-macs: \"%s\" is not vlan/mac",
					  w));
	}
	free(copy);
}

static uint32_t burst_ms(int64_t burst, int64_t rate)
{
	enum { BURST_MS_MAX = 10000 };

	burst = SL_MIN(burst, (int64_t)UINT32_MAX);
	return (uint32_t)SL_MAX(SL_MIN(burst * 1000 / rate, (int64_t)BURST_MS_MAX), (int64_t)1);
}

/* ovs-vswitchd.conf.db(5): kbit/s and kilopackets/s; what may come at once in the same units, 8,000
 * and 16 when nothing is said. One burst holds for both rates. */
static void read_rate(const struct ovsdb_row *iface, const char *name, struct config_port *p,
		      struct rows_notes *notes)
{
	enum { BURST_KBIT = 8000, BURST_KPKTS = 16 };
	int64_t kbps = ovsdb_row_int(iface, "ingress_policing_rate", 0);
	int64_t burst = ovsdb_row_int(iface, "ingress_policing_burst", 0);
	int64_t kpps = ovsdb_row_int(iface, "ingress_policing_kpkts_rate", 0);
	int64_t kpkts = ovsdb_row_int(iface, "ingress_policing_kpkts_burst", 0);

	if (kpps > 0) {
		p->rate_pps = (uint64_t)SL_MIN(kpps, (int64_t)1000000) * 1000;
		p->rate_burst_ms = burst_ms(kpkts > 0 ? kpkts : BURST_KPKTS, kpps);
	}
	if (kbps <= 0)
		return;
	p->rate_kbps = (uint64_t)kbps;
	p->rate_burst_ms = burst_ms(burst > 0 ? burst : BURST_KBIT, kbps);
	if (kpps > 0 && kpkts > 0)
		rows_note_add(notes, ROWS_INERT, "Interface", name, "ingress_policing_kpkts_burst",
			      NULL,
			      xstrdup("ingress_policing_kpkts_burst: beside ingress_policing_rate "
				      "the time of its burst holds for packets too"));
}

static void read_iface(const struct ovsdb_row *bridge, const struct ovsdb_row *port,
		       const struct ovsdb_row *iface, enum rows_dummy dummy, struct config *out,
		       struct rows_notes *notes)
{
	const char *name = ovsdb_row_string(iface, "name", "");
	const char *type = type_of(iface, ovsdb_row_string(bridge, "datapath_type", ""), dummy);
	const char *mac = ovsdb_row_string(iface, "mac", NULL);
	const char *affinity = knob_text(iface, KNOB_PMD_RXQ_AFFINITY);
	struct config_port *p;

	rows_note_inert(notes, "Interface", name, iface);
	rows_note_knobs(notes, "Interface", name, iface);
	if (port_type_role(type) < 0) {
		rows_note_add(notes, ROWS_UNSUPPORTED, "Interface", name, "type", NULL,
			      xasprintf("port %s: type %s is not supported", name, type));
		return;
	}
	if (dummy == DUMMY_NONE && !strcmp(type, "dummy")) {
		rows_note_add(
			notes, ROWS_UNSUPPORTED, "Interface", name, "type", NULL,
			xasprintf("port %s: type dummy: start sluiced with --enable-dummy", name));
		return;
	}
	p = config_add_port(out, name, ovsdb_row_string(bridge, "name", ""));
	config_set_str(&p->type, type);
	p->mtu = (uint32_t)ovsdb_row_int(iface, "mtu_request", 0);
	p->ofport_request = ofport_from_db(ovsdb_row_int(iface, "ofport_request", 0));
	p->ofport_last = ofport_from_db(ovsdb_row_int(iface, "ofport", 0));
	p->is_protected = ovsdb_row_bool(port, "protected", false);
	p->role = role_of(port, iface);
	read_rate(iface, name, p, notes);
	p->mac_limit = (uint32_t)knob_number(port, KNOB_SLUICE_MAC_LIMIT);
	config_set_str(&p->rxq_affinity, affinity);
	p->poll_weight = (uint32_t)knob_number(iface, KNOB_SLUICE_POLL_WEIGHT);
	if (mac && !knob_parse_mac(mac, p->mac))
		rows_note_add(notes, ROWS_BAD_VALUE, "Interface", name, "mac", NULL,
			      xasprintf("mac: \"%s\" is not a hardware address", mac));
	read_options(iface, p);
	read_vlans(port, p, notes);
	read_static_macs(port, p, out, notes);
}

static void read_port(const struct ovsdb_client *db, const struct ovsdb_row *bridge,
		      const struct ovsdb_row *port, enum rows_dummy dummy, struct config *out,
		      struct rows_notes *notes)
{
	const char *name = ovsdb_row_string(port, "name", "");
	size_t n = ovsdb_row_n(port, "interfaces");

	rows_note_inert(notes, "Port", name, port);
	rows_note_knobs(notes, "Port", name, port);
	for (size_t i = 0; i < n; i++) {
		const struct ovsdb_row *iface = ovsdb_row_ref_at(db, port, "interfaces", i);
		if (!iface)
			continue;
		if (n > 1)
			rows_note_add(notes, ROWS_UNSUPPORTED, "Interface",
				      ovsdb_row_string(iface, "name", ""), "type", NULL,
				      xasprintf("port %s: bonds are not supported yet", name));
		else
			read_iface(bridge, port, iface, dummy, out, notes);
	}
}

/* ---- bridges ---- */

void rows_bridge_mac(const struct uuid *bridge, uint8_t mac[6])
{
	uint64_t v = bridge->hi ^ bridge->lo;
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)(v >> (8 * i));
	mac[0] = (uint8_t)((mac[0] & ~1) | 2); /* unicast, locally administered */
}

static void read_identity(const struct ovsdb_row *row, struct config_bridge *b,
			  struct rows_notes *notes)
{
	const char *id = knob_text(row, KNOB_DATAPATH_ID), *hw = knob_text(row, KNOB_HWADDR);
	uint64_t v;

	if (!hw || !knob_parse_mac(hw, b->mac))
		rows_bridge_mac(ovsdb_row_uuid(row), b->mac);
	for (int i = 0; i < 6; i++)
		b->datapath_id = b->datapath_id << 8 | b->mac[i];
	if (!id)
		return;
	if ((!strncmp(id, "0x", 2) ? parse_u64(id + 2, 16, UINT64_MAX, &v)
				   : strlen(id) == 16 && parse_u64(id, 16, UINT64_MAX, &v)) &&
	    v)
		b->datapath_id = v;
	else
		rows_note_add(
			notes, ROWS_BAD_VALUE, "Bridge", b->name, "other_config", "datapath-id",
			xasprintf(
				"other_config:datapath-id: \"%s\" is neither 16 hexadecimal digits "
				"nor 0x and fewer",
				id));
}

static void note_flow_tables(const struct ovsdb_client *db, const struct ovsdb_row *bridge,
			     const char *name, struct rows_notes *notes)
{
	for (size_t i = 0; i < ovsdb_row_n(bridge, "flow_tables"); i++) {
		const struct ovsdb_row *t = ovsdb_row_ref_at(db, bridge, "flow_tables", i);
		char *of = xasprintf("%s table %d", name,
				     (int)ovsdb_row_int_at(bridge, "flow_tables", i));
		if (t)
			rows_note_inert(notes, "Flow_Table", of, t);
		free(of);
	}
}

/* Said, or by who made the bridge: other tools' bridges are as open as they expect. */
static bool is_policed(const struct ovsdb_row *row)
{
	if (knob_text(row, KNOB_SLUICE_POLICY))
		return knob_number(row, KNOB_SLUICE_POLICY);
	return ovsdb_row_map(row, "external_ids", "sluice-owner", NULL);
}

static void read_bridge(const struct ovsdb_client *db, const struct ovsdb_row *root,
			const struct ovsdb_row *row, enum rows_dummy dummy, struct config *out,
			struct rows_notes *notes)
{
	const char *name = ovsdb_row_string(row, "name", "");
	struct config_bridge *b = config_add_bridge(out, name);

	rows_note_inert(notes, "Bridge", name, row);
	rows_note_knobs(notes, "Bridge", name, row);
	read_identity(row, b, notes);
	b->open = !knob_number(root, KNOB_FLOW_RESTORE_WAIT);
	b->fail_secure = !strcmp(ovsdb_row_string(row, "fail_mode", ""), "secure");
	b->policed = is_policed(row);
	b->forward_bpdu = (uint8_t)knob_number(row, KNOB_FORWARD_BPDU);
	b->mac_ageing_s = (uint32_t)knob_number(row, KNOB_MAC_AGING_TIME);
	b->mac_table_size = (uint32_t)knob_number(row, KNOB_MAC_TABLE_SIZE);
	b->vlan_limit = (uint8_t)knob_number(root, KNOB_VLAN_LIMIT);
	if (!b->vlan_limit)
		b->vlan_limit = 2;
	b->flood_vlans = vlan_bitmap(row, "flood_vlans");
	note_flow_tables(db, row, name, notes);
	for (size_t i = 0; i < ovsdb_row_n(row, "ports"); i++) {
		const struct ovsdb_row *port = ovsdb_row_ref_at(db, row, "ports", i);
		if (port)
			read_port(db, row, port, dummy, out, notes);
	}
}

static void read_poll(const struct ovsdb_row *root, struct config *out)
{
	const char *mask = knob_text(root, KNOB_PMD_CPU_MASK);
	const char *sleep = knob_text(root, KNOB_PMD_SLEEP_MAX);
	uint16_t cores[64];
	int n = mask ? knob_parse_mask(mask, cores, SL_ARRAY_SIZE(cores)) : 0;
	if (n > 0)
		vec_append(&out->cores, cores, (size_t)n);
	if (sleep && sleep[0]) {
		out->has_sleep_max = true;
		out->sleep_max_us = (uint32_t)knob_number(root, KNOB_PMD_SLEEP_MAX);
	}
}

/* ---- conntrack zones ---- */

static void read_timeouts(const struct ovsdb_row *policy, struct config_zone *z,
			  struct rows_notes *notes)
{
	const struct ovsdb_datum *d = ovsdb_row_datum(policy, "timeouts");
	for (uint32_t i = 0; d && i < d->n; i++) {
		const char *key = d->atoms[i].string->s;
		char *zone;
		if (config_zone_set(z, key, (uint32_t)d->atoms[d->n + i].integer))
			continue;
		zone = xasprintf("zone %u", z->zone);
		rows_note_add(notes, ROWS_INERT, "CT_Timeout_Policy", zone, "timeouts", key,
			      xasprintf("timeouts:%s: the tracker has no such state", key));
		free(zone);
	}
}

/* The zones of every datapath type are those of the one datapath; the first that names one wins. */
static void read_zones(const struct ovsdb_client *db, const struct ovsdb_row *root,
		       struct config *out, struct rows_notes *notes)
{
	for (size_t i = 0; i < ovsdb_row_n(root, "datapaths"); i++) {
		const struct ovsdb_row *dp = ovsdb_row_ref_at(db, root, "datapaths", i);
		for (size_t k = 0; dp && k < ovsdb_row_n(dp, "ct_zones"); k++) {
			const struct ovsdb_row *zone = ovsdb_row_ref_at(db, dp, "ct_zones", k);
			const struct ovsdb_row *policy =
				zone ? ovsdb_row_ref_at(db, zone, "timeout_policy", 0) : NULL;
			uint16_t id = (uint16_t)ovsdb_row_int_at(dp, "ct_zones", k);
			size_t before = out->zones.len;
			struct config_zone *z = policy ? config_add_zone(out, id) : NULL;
			if (z && out->zones.len > before)
				read_timeouts(policy, z, notes);
		}
	}
}

/* ---- the rest ---- */

/* Nothing is configured from these here, but what they ask for in vain is said. */
static void note_targets(const struct ovsdb_client *db, struct rows_notes *notes)
{
	static const char *const tables[] = {"Controller", "Manager"};
	for (size_t i = 0; i < SL_ARRAY_SIZE(tables); i++)
		OVSDB_CLIENT_FOR_EACH (row, db, tables[i]) {
			const char *target = ovsdb_row_string(row, "target", "");
			rows_note_inert(notes, tables[i], target, row);
			rows_note_knobs(notes, tables[i], target, row);
		}
	OVSDB_CLIENT_FOR_EACH (row, db, "SSL")
		rows_note_inert(notes, "SSL", ".", row);
}

void rows_read(const struct ovsdb_client *db, enum rows_dummy dummy, struct config *out,
	       struct rows_notes *notes)
{
	const struct ovsdb_row *root = ovsdb_client_singleton(db, "Open_vSwitch");
	if (!root)
		return;
	rows_note_inert(notes, "Open_vSwitch", ".", root);
	rows_note_knobs(notes, "Open_vSwitch", ".", root);
	note_targets(db, notes);
	read_poll(root, out);
	read_zones(db, root, out, notes);
	out->generation = (uint64_t)ovsdb_row_int(root, "next_cfg", 0);
	for (size_t i = 0; i < ovsdb_row_n(root, "bridges"); i++) {
		const struct ovsdb_row *bridge = ovsdb_row_ref_at(db, root, "bridges", i);
		if (bridge)
			read_bridge(db, root, bridge, dummy, out, notes);
	}
	rows_notes_sort(notes);
}
