/* SPDX-License-Identifier: BSD-3-Clause */
#include "datapath/port/netif_block.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "datapath/base/util.h"

struct request {
	struct nlmsghdr n;
	struct tcmsg t;
	char attrs[256];
};

static void put(struct request *r, unsigned short type, const void *data, size_t len)
{
	struct rtattr *a = (void *)((char *)r + NLMSG_ALIGN(r->n.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(a), data, len);
	r->n.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->n.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static void start(struct request *r, uint16_t type, uint16_t flags, int ifindex)
{
	memset(r, 0, sizeof *r);
	r->n.nlmsg_len = NLMSG_LENGTH(sizeof r->t);
	r->n.nlmsg_type = type;
	r->n.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	r->t.tcm_family = AF_UNSPEC;
	r->t.tcm_ifindex = ifindex;
}

static int talk(int fd, const struct request *r)
{
	struct {
		struct nlmsghdr n;
		struct nlmsgerr e;
		char rest[1024];
	} answer;

	if (send(fd, r, r->n.nlmsg_len, 0) < 0)
		return -errno;
	if (recv(fd, &answer, sizeof answer, 0) < (ssize_t)NLMSG_LENGTH(sizeof(int)))
		return -EIO;
	return answer.n.nlmsg_type == NLMSG_ERROR ? answer.e.error : -EIO;
}

static int load_drop_all(void)
{
	const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TC_ACT_SHOT},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof attr);
	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = SL_ARRAY_SIZE(code);
	attr.license = (uintptr_t) "BSD";
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
	return fd >= 0 ? fd : -errno;
}

static void ingress(struct request *r, uint16_t type, uint16_t flags, int ifindex)
{
	start(r, type, flags, ifindex);
	r->t.tcm_handle = TC_H_MAKE(TC_H_INGRESS, 0);
	r->t.tcm_parent = TC_H_INGRESS;
	put(r, TCA_KIND, "ingress", sizeof "ingress");
}

static int add_filter(int nl, int ifindex, int prog)
{
	struct request r;
	const uint32_t fd = (uint32_t)prog, flags = TCA_BPF_FLAG_ACT_DIRECT;

	start(&r, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, ifindex);
	r.t.tcm_parent = TC_H_MAKE(TC_H_INGRESS, 0);
	r.t.tcm_info = TC_H_MAKE(1u << 16, cpu_to_be16(ETH_P_ALL));
	put(&r, TCA_KIND, "bpf", sizeof "bpf");
	struct rtattr *options = (void *)((char *)&r + NLMSG_ALIGN(r.n.nlmsg_len));
	put(&r, TCA_OPTIONS, NULL, 0);
	put(&r, TCA_BPF_FD, &fd, sizeof fd);
	put(&r, TCA_BPF_NAME, "sluice", sizeof "sluice");
	put(&r, TCA_BPF_FLAGS, &flags, sizeof flags);
	options->rta_len = (unsigned short)((char *)&r + r.n.nlmsg_len - (char *)options);
	return talk(nl, &r);
}

static int netlink(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd >= 0 ? fd : -errno;
}

int netif_block(int ifindex)
{
	struct request r;
	int prog, ret, nl = netlink();

	if (nl < 0)
		return nl;
	prog = load_drop_all();
	if (prog < 0) {
		close(nl);
		return prog;
	}
	ingress(&r, RTM_DELQDISC, 0, ifindex);
	talk(nl, &r); /* there may be none */
	ingress(&r, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, ifindex);
	ret = talk(nl, &r);
	if (!ret)
		ret = add_filter(nl, ifindex, prog);
	close(prog);
	close(nl);
	return ret;
}

void netif_unblock(int ifindex)
{
	struct request r;
	int nl = netlink();

	if (nl < 0)
		return;
	ingress(&r, RTM_DELQDISC, 0, ifindex);
	talk(nl, &r);
	close(nl);
}
